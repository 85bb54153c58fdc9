"""`python -m controlplane.runtime.docker.sample_api`: runs the quick start's API server from the installed package."""

from __future__ import annotations

import runpy

from controlplane.assets import asset
from controlplane.runtime.start_options import QUICK_START

if __name__ == "__main__":
    runpy.run_path(str(asset(QUICK_START) / "weather_api.py"), run_name="__main__")

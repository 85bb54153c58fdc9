"""Prints requirements of pyproject.toml for pip, so that an image layer changes only if its requirements do.

    python requirements.py pyproject.toml dependencies models

Each name is an extra, or `dependencies`, or `build` (the build system's requirements). Run in the Dockerfiles before
archgw is installed, so it imports only the standard library.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

_OWN_EXTRAS = re.compile(r"archgw\[([^\]]+)\]")


def requirements(pyproject: dict[str, dict[str, object]], names: list[str]) -> list[str]:
    """Return the requirements of `names` without duplicates. KeyError for a name that pyproject.toml lacks."""
    project = pyproject["project"]
    extras: dict[str, list[str]] = {
        **project["optional-dependencies"],  # type: ignore[dict-item]
        "dependencies": project["dependencies"],  # type: ignore[dict-item]
        "build": pyproject["build-system"]["requires"],  # type: ignore[dict-item]
    }

    def expand(name: str) -> Iterator[str]:
        for requirement in extras[name]:
            if own := _OWN_EXTRAS.fullmatch(requirement):
                for extra in own[1].split(","):
                    yield from expand(extra)
            else:
                yield requirement

    expanded = list(dict.fromkeys(requirement for name in names for requirement in expand(name)))
    if any(requirement.startswith("onnxruntime-gpu") for requirement in expanded):
        # Both packages install the module `onnxruntime`, and would overwrite each other's files.
        expanded = [requirement for requirement in expanded if not re.match(r"onnxruntime\b(?!-gpu)", requirement)]
    return expanded


if __name__ == "__main__":
    print("\n".join(requirements(tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2:])))

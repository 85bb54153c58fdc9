"""Prints what pip installs into an image, so that its layer changes with the lists of pyproject.toml and nothing else.

    python requirements.py pyproject.toml dependencies models

Each name is an extra, or `dependencies`, what every installation needs, or `build`, what makes the wheel. Run inside
the Dockerfiles, where archgw is not installed yet: the standard library alone.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

_OURS = re.compile(r"archgw\[([^\]]+)\]")


def listed(document: dict[str, dict[str, object]], names: list[str]) -> list[str]:
    """The requirements of `names`, each once. KeyError for a name that pyproject.toml does not have."""
    project = document["project"]
    extras: dict[str, list[str]] = {
        **project["optional-dependencies"],  # type: ignore[dict-item]
        "dependencies": project["dependencies"],  # type: ignore[dict-item]
        "build": document["build-system"]["requires"],  # type: ignore[dict-item]
    }

    def of(name: str) -> Iterator[str]:
        for requirement in extras[name]:
            if ours := _OURS.fullmatch(requirement):
                for inner in ours[1].split(","):
                    yield from of(inner)
            else:
                yield requirement

    found = list(dict.fromkeys(requirement for name in names for requirement in of(name)))
    if any(requirement.startswith("onnxruntime-gpu") for requirement in found):
        # Both are the module `onnxruntime`: the last one installed would win, with the files of the other beside it.
        found = [requirement for requirement in found if not re.match(r"onnxruntime\b(?!-gpu)", requirement)]
    return found


if __name__ == "__main__":
    print("\n".join(listed(tomllib.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), sys.argv[2:])))

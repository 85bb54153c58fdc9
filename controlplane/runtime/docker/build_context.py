"""Recipes of archgw's images, their digest, and the build context for `docker build`.

The sources come from a checkout or from an installed wheel, which has the same files. Used by `images` and
`image_build`.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import controlplane
from controlplane.assets import asset
from controlplane.errors import RuntimeFault

# The build context consists of these files and folders, and nothing else of a checkout.
_PACKAGES: Final = ("controlplane", "extproc")
WHOLE: Final = (
    *("pyproject.toml", "README.md", "LICENSE"),
    *_PACKAGES,
    *("docker", "envoy/templates", "examples/quickstart", "triton_models"),
)
# Folder in the installed package. It contains the files that a checkout has beside the package.
_ASSETS: Final = "_assets"


@dataclass(frozen=True, slots=True)
class Recipe:
    """Recipe of one image. `reference`: its full name. `base`: its base image. `arguments`: build arguments.

    `bases`: the base images of all build stages. `sources`: files and folders of the build context.
    """

    reference: str
    dockerfile: str
    base: str
    bases: tuple[str, ...]
    arguments: Mapping[str, str]
    sources: tuple[str, ...] = WHOLE


def files(names: tuple[str, ...] = WHOLE) -> dict[str, Path]:
    """Return path in the build context -> file, ordered by path. RuntimeFault if this installation lacks one."""
    found: dict[str, Path] = {}
    for name in names:
        top = _top(name)
        if top.is_file():
            found[name] = top
        for path in top.rglob("*"):
            inside = path.relative_to(top)
            if path.is_file() and not _is_left_out(name, inside):
                found[f"{name}/{inside.as_posix()}"] = path
        if not any(path == name or path.startswith(f"{name}/") for path in found):
            raise RuntimeFault(f"images cannot be built here: {top} is missing; install archgw again")
    return dict(sorted(found.items()))


def _top(name: str) -> Path:
    package = Path(controlplane.__file__).resolve().parent
    return package.parent / name if name in _PACKAGES else asset(name)


def _is_left_out(name: str, inside: Path) -> bool:
    # The same rules as .dockerignore, which applies to builds by hand.
    if any(part.startswith(".") or part == "__pycache__" for part in inside.parts) or inside.suffix == ".pyc":
        return True
    return name in _PACKAGES and inside.parts[0] == _ASSETS


def digest(recipe: Recipe) -> str:
    """Return a digest of everything that determines the image: sources, base images and build arguments."""
    total = hashlib.sha256()
    for line in (recipe.dockerfile, *recipe.bases, *(f"{key}={value}" for key, value in recipe.arguments.items())):
        total.update(f"{line}\n".encode())
    for path, file in files(recipe.sources).items():
        total.update(f"{path} {hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return total.hexdigest()


@contextmanager
def assembled_context(names: tuple[str, ...] = WHOLE) -> Iterator[Path]:
    """Yield a temporary folder with the sources. Their modes do not depend on the umask of the checkout."""
    with tempfile.TemporaryDirectory(prefix="archgw-build-") as folder:
        root = Path(folder)
        for name, file in files(names).items():
            target = root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            target.chmod(0o644)
        for path in root.rglob("*"):
            if path.is_dir():
                path.chmod(0o755)
        yield root

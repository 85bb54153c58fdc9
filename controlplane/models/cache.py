"""Where prepared models lie: one folder an artefact, named by what it is made of, and one lock for whoever writes.

models/
├── .lock                       held while preparing
├── .making-<artefact>/         work of a prepare that runs, or was killed; the next one removes it
└── <artefact>-<digest>/        complete: it was renamed into place only when every file was verified
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from controlplane.models.catalog import Artefact

_BLOCK = 1 << 20


def cache_dir() -> Path:
    """The models' folder: under $ARCHGW_CACHE_DIR, else under the user's XDG cache directory. Not created here."""
    override = os.environ.get("ARCHGW_CACHE_DIR")
    root = Path(override).expanduser().absolute() if override else Path(platformdirs.user_cache_dir("archgw"))
    return root / "models"


def folder(name: str, artefact: Artefact) -> Path:
    """Where an artefact lies. A changed hash in the catalogue changes the name, so that versions live side by side."""
    digest = hashlib.sha256("".join(f"{made.file} {made.sha256}\n" for made in artefact.make).encode())
    return cache_dir() / f"{name}-{digest.hexdigest()[:12]}"


def sha256(path: Path) -> str:
    """The file's hash."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def damage(directory: Path, artefact: Artefact) -> list[str]:
    """What is wrong with a prepared artefact, one sentence a file; empty when it is complete and unchanged."""
    faults = []
    for made in artefact.make:
        path = directory / made.file
        if not path.is_file():
            faults.append(f"{path} is missing")
        elif sha256(path) != made.sha256:
            faults.append(f"{path} is not what the catalogue says (SHA-256 differs)")
    return faults


@contextmanager
def locked() -> Iterator[Path]:
    """The cache folder, created, while this process alone may write to it. Another process waits here."""
    directory = cache_dir()
    directory.mkdir(parents=True, exist_ok=True)
    # Opened without truncation and never removed: removing a lock file lets two processes hold "the" lock.
    with (directory / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory

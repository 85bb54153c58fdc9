"""Where models lie: one folder an artefact, named by what it is made of, and one lock for whoever writes.

models/
├── .lock                           held while preparing
├── .making-<artefact>/             work of a prepare that runs, or was killed; the next one removes it
├── .pulling-<artefact>-<digest>/   what a pull has so far; the next one goes on with it. Beside it lies its lock
└── <artefact>-<digest>/            complete: it was renamed into place only when every file was verified
"""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from controlplane.errors import ModelError
from controlplane.models import pull_record
from controlplane.models.catalog import Artefact

_BLOCK = 1 << 20


def cache_dir() -> Path:
    """The models' folder: under $ARCHGW_CACHE_DIR, else under the user's XDG cache directory. Not created here."""
    override = os.environ.get("ARCHGW_CACHE_DIR")
    try:
        root = Path(override).expanduser().absolute() if override else Path(platformdirs.user_cache_dir("archgw"))
    except RuntimeError as error:
        raise ModelError(f"ARCHGW_CACHE_DIR={override} is in the home of nobody here; write the whole path") from error
    return root / "models"


def folder(name: str, artefact: Artefact, prepared: Path | None = None) -> Path:
    """Where an artefact lies. What changes in the catalogue changes the name, so that versions live side by side.

    `prepared`: the folder of those that come from packages, where that is not this user's cache.
    """
    if artefact.path is not None:
        return Path(artefact.path).expanduser()
    lines = [f"{made.file} {made.sha256}\n" for made in artefact.make]
    if artefact.hub is not None:
        lines.append(f"{artefact.source}\n")
    lines += [f"{file.path} {file.sha256}\n" for file in artefact.files]
    root = prepared if prepared is not None and artefact.package is not None else cache_dir()
    return root / f"{name}-{hashlib.sha256(''.join(lines).encode()).hexdigest()[:12]}"


def sha256(path: Path) -> str:
    """The file's hash."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def damage(directory: Path, artefact: Artefact, *, hashed: bool = True) -> list[str]:
    """What is wrong with an artefact's folder, one sentence a file; empty when it is complete and unchanged.

    Without `hashed`, files are not read: one that is there, of the size it was pulled with, counts as whole.
    """
    wanted = {made.file: made.sha256 for made in artefact.make} | {file.path: file.sha256 for file in artefact.files}
    sizes: dict[str, int] = {}
    if artefact.hub is not None:
        pulled = pull_record.read(directory)
        if pulled is None:
            return [f"{directory} holds no complete pull"]
        # The catalogue's hashes come first: a record cannot vouch for what they refuse.
        wanted = {file.path: wanted.get(file.path) or file.sha256 for file in pulled.files}
        sizes = {file.path: file.size for file in pulled.files}
    faults = []
    for name, expected in wanted.items():
        path = directory / name
        if not path.is_file():
            faults.append(f"{path} is missing")
        elif name in sizes and path.stat().st_size != sizes[name]:
            faults.append(f"{path} has {path.stat().st_size} bytes, not the {sizes[name]} it was pulled with")
        elif hashed and expected is not None and sha256(path) != expected:
            faults.append(f"{path} is not what the {'record' if sizes else 'catalogue'} says (SHA-256 differs)")
    return faults


@contextmanager
def locked(name: str = ".lock") -> Iterator[Path]:
    """The cache folder, created, while this process alone holds the lock `name` in it. Another process waits here."""
    directory = cache_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Opened without truncation and never removed: removing a lock file lets two processes hold "the" lock.
        try:
            lock = (directory / name).open("a")
        except PermissionError:
            # Another user's, in a volume that both fill. Else for writing: NFS locks nothing that is only read.
            lock = (directory / name).open()
    except OSError as error:
        raise unwritable(directory, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def unwritable(directory: Path, error: OSError) -> ModelError:
    """What `error` means to who waits for a model."""
    return ModelError(f"cannot write to the model cache {directory}: {error}; ARCHGW_CACHE_DIR names another place")

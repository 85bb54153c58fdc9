"""The model cache: one folder per artefact, named by the digest of its sources, and locks for writers.

models/
├── .lock                           held by `prepare`
├── .making-<artefact>/             work of a running or killed `prepare`; the next one removes it
├── .pulling-<artefact>-<digest>/   partial download of `pull`; the next one resumes it. Its lock file is beside it
└── <artefact>-<digest>/            complete: renamed into place after every file was verified

Used by prepare.py, pull.py, `archgw models` and the model repository.
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
    """Returns the cache folder, which may not exist yet: below $ARCHGW_CACHE_DIR, else in the user's XDG cache."""
    override = os.environ.get("ARCHGW_CACHE_DIR")
    try:
        root = Path(override).expanduser().absolute() if override else Path(platformdirs.user_cache_dir("archgw"))
    except RuntimeError as error:
        raise ModelError(f"ARCHGW_CACHE_DIR={override}: no such user on this machine; write the whole path") from error
    return root / "models"


def folder(name: str, artefact: Artefact, prepared: Path | None = None) -> Path:
    """Returns an artefact's folder. Its name changes with the catalogue entry, so that versions live side by side.

    `prepared`: the folder of artefacts from packages; None: this user's cache.
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
    """Returns the file's SHA-256 in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def damage(directory: Path, artefact: Artefact, *, hashed: bool = True) -> list[str]:
    """Returns one sentence for each missing or changed file of an artefact's folder.

    Without `hashed`, files are not read: a file with its recorded size counts as complete.
    """
    expected = {made.file: made.sha256 for made in artefact.make} | {file.path: file.sha256 for file in artefact.files}
    sizes: dict[str, int] = {}
    if artefact.hub is not None:
        pulled = pull_record.read(directory)
        if pulled is None:
            return [f"{directory} holds no complete pull"]
        # The catalogue's hashes take precedence over the record's.
        expected = {file.path: expected.get(file.path) or file.sha256 for file in pulled.files}
        sizes = {file.path: file.size for file in pulled.files}
    faults = []
    for name, digest in expected.items():
        path = directory / name
        if not path.is_file():
            faults.append(f"{path} is missing")
        elif name in sizes and path.stat().st_size != sizes[name]:
            faults.append(f"{path} has {path.stat().st_size} bytes, not the {sizes[name]} it was pulled with")
        elif hashed and digest is not None and sha256(path) != digest:
            faults.append(f"{path} is not what the {'record' if sizes else 'catalogue'} says (SHA-256 differs)")
    return faults


@contextmanager
def locked(name: str = ".lock") -> Iterator[Path]:
    """Creates the cache folder and holds the lock `name` in it. Waits while another process holds it."""
    directory = cache_dir()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # The lock file is never removed: otherwise two processes could lock two files of this name.
        try:
            lock = (directory / name).open("a")
        except PermissionError:
            # The file belongs to another user, in a shared volume. Writable is better: NFS needs that for a lock.
            lock = (directory / name).open()
    except OSError as error:
        raise unwritable(directory, error) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield directory


def unwritable(directory: Path, error: OSError) -> ModelError:
    """Returns the ModelError for a failed write to the cache."""
    return ModelError(f"cannot write to the model cache {directory}: {error}; ARCHGW_CACHE_DIR names another place")

"""Downloads a model of a hub into the cache. Used by `archgw models pull`.

Resumes partial downloads and verifies each file's hash. The folder appears in the cache when it is complete.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from controlplane.errors import ModelError
from controlplane.models import cache, hub, pull_record
from controlplane.models.catalog import Artefact, Hub, catalog

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class DownloadProgress:
    """`done` of `size` bytes of the file `path` are downloaded. It is number `index` of `total` files (from 1)."""

    path: str
    done: int
    size: int
    index: int
    total: int


def _silent(_: DownloadProgress) -> None:
    return


def pull(name: str, progress: Callable[[DownloadProgress], None] = _silent) -> Path:
    """Downloads the model `name` from its hub. Returns its folder.

    A complete model is left alone, without a request to the hub. After an interruption, the next call resumes, also
    inside a file. Raises ModelError.
    """
    artefact = catalog().select((name,)).get(name)
    if artefact is None or artefact.hub is None:
        what = "a role" if artefact is None else "not a model of a hub"
        raise ModelError(f"{name} is {what}; `archgw models prepare` makes ready what comes from packages")
    target = cache.folder(name, artefact)
    if target.is_dir() and not cache.damage(target, artefact):
        return target
    try:
        with cache.locked(f"{_work(target).name}.lock"):
            # Another process may have pulled it while this one waited for the lock.
            if not target.is_dir() or cache.damage(target, artefact):
                _pull(name, artefact, artefact.hub, target, progress)
    except OSError as error:
        raise cache.unwritable(target.parent, error) from error
    return target


def _work(target: Path) -> Path:
    return target.with_name(f".pulling-{target.name}")


def _pull(
    name: str, artefact: Artefact, source: Hub, target: Path, progress: Callable[[DownloadProgress], None]
) -> None:
    work = _work(target)
    fresh = work / "files"
    fresh.mkdir(parents=True, exist_ok=True)
    with hub.open_repository(name, source) as repository:
        files = [_pinned(file, artefact) for file in repository.files(artefact.files)]
        missing = [file for file in files if not _have(file, fresh / file.path, target / file.path)]
        _refuse_a_full_disk(name, work, sum(file.size for file in missing))
        for index, file in enumerate(files, start=1):

            def report(done: int, file: hub.RemoteFile = file, index: int = index) -> None:
                progress(DownloadProgress(file.path, done, file.size, index, len(files)))

            report(file.size if file not in missing else 0)
            if file not in missing:
                continue
            part = work / f"{file.sha256 or file.blob_id}.part"
            repository.download(file, part, report)
            if not _matches(file, part):
                shutil.rmtree(work)
                raise ModelError(
                    f"{file.path} of {source.repository} is not the declared file (its hash differs): "
                    "nothing of it was kept"
                )
            (fresh / file.path).parent.mkdir(parents=True, exist_ok=True)
            part.replace(fresh / file.path)
        commit = repository.commit
    pulled = [
        pull_record.Pulled(path=file.path, size=file.size, sha256=cache.sha256(fresh / file.path)) for file in files
    ]
    pull_record.write(
        fresh, pull_record.Record(repository=source.repository, revision=source.revision, commit=commit, files=pulled)
    )
    # A running Triton may use the damaged folder: it can still read its open files.
    shutil.rmtree(target, ignore_errors=True)
    fresh.replace(target)
    shutil.rmtree(work)


def _pinned(file: hub.RemoteFile, artefact: Artefact) -> hub.RemoteFile:
    """Returns the file with the catalogue's hash, if it has one. Raises ModelError if it differs from the hub's."""
    pins = [listed.sha256 for listed in artefact.files if listed.path == file.path and listed.sha256 is not None]
    if not pins:
        return file
    if file.sha256 is not None and file.sha256 != pins[0]:
        raise ModelError(f"{artefact.source} has another {file.path} than the catalogue pins (SHA-256 differs)")
    return hub.RemoteFile(file.path, file.size, sha256=pins[0])


def _have(file: hub.RemoteFile, path: Path, former: Path) -> bool:
    """Returns whether `path` is the file. A good file of the damaged folder, `former`, is hard-linked to `path`."""
    if _matches(file, path):
        return True
    path.unlink(missing_ok=True)
    if not _matches(file, former):
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    os.link(former, path)
    return True


def _matches(file: hub.RemoteFile, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    return cache.sha256(path) == file.sha256 if file.sha256 is not None else _blob_id(path) == file.blob_id


def _blob_id(path: Path) -> str:
    """Returns git's hash of a file: the SHA-1 of its length and its bytes."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _refuse_a_full_disk(name: str, work: Path, missing: int) -> None:
    missing -= sum(part.stat().st_size for part in work.glob("*.part"))
    free = shutil.disk_usage(work).free
    if missing > free:
        raise ModelError(
            f"{name} needs {missing / 1e9:.1f} GB more in {work.parent}, which has {free / 1e9:.1f} GB left; "
            "ARCHGW_CACHE_DIR names another place"
        )

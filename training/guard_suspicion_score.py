"""Trains extproc/pipeline/guard/suspicion_score.npz, the first pass of the guard over long texts.

    pip install scikit-learn        # nothing else of archgw needs it
    python -m training.guard_suspicion_score --data FOLDER

FOLDER holds guard_attacks.jsonl.gz and guard_benign.jsonl.gz: one object a line with `text`, `kind` and `source`. A
piece of an attack is labelled as an attack only if the shipped guard flags it. Sources of `_TEST_SOURCES` and a tenth
of the rest are for the test only: short attacks are put into long documents, and the report gives the share of them
that is among the most suspicious pieces. Everything is seeded.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from controlplane.assets import asset
from controlplane.models.prepare import prepare
from extproc.pipeline.guard.chunking import chunks
from extproc.pipeline.guard.decoded_variants import decoded_variants
from extproc.pipeline.guard.suspicion_score import TABLE_BITS, SuspicionScorer, feature_indices
from training import datasets
from triton_models.guard.detector import Detector

# Words of a training window, and between the starts of two of them.
_WINDOW: Final = 24
_STRIDE: Final = 12
_MAX_ATTACKS, _MAX_HARMLESS = 6_000, 30_000
_SHORT: Final = 500  # characters of an attack that is put into a document
_DOCUMENT: Final = 400_000  # characters
_SHARES: Final = (0.02, 0.05, 0.1, 0.2, 0.35)
_TEST_SOURCES: Final = frozenset(
    {
        "ReversecLabs/spikee",
        "protectai/llm-guard",
        "microsoft/llmail-inject-challenge",
        "hackaprompt/hackaprompt-dataset",
        "verazuo/jailbreak_llms",
        "AUTHENSOR/prompt-injection-benchmark",
        "envoyproxy/ai-gateway",
        "Yale-LILY/QMSum",
        "suzgunmirac/BIG-Bench-Hard",
        "danielmiessler/fabric",
    }
)


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled text."""

    text: str
    kind: str
    source: str

    @property
    def is_test(self) -> bool:
        """Test texts are never trained on."""
        return self.source in _TEST_SOURCES or hashlib.sha256(self.text.encode()).digest()[0] % 10 == 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Trains the first pass over long texts.")
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    attacks = _rows(data / "guard_attacks.jsonl.gz", _MAX_ATTACKS)
    harmless = _rows(data / "guard_benign.jsonl.gz", _MAX_HARMLESS)
    flagged = _flagged(attacks)
    scan = _trained(attacks, harmless, flagged)
    _report(scan, attacks, harmless, flagged)
    target = asset("extproc/pipeline/guard") / "suspicion_score.npz"
    np.savez_compressed(target, weights=scan.weights)
    print(f"{target}: {target.stat().st_size} bytes")
    return 0


def _rows(path: Path, limit: int) -> list[Row]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [Row(row["text"], row["kind"], row["source"]) for row in map(json.loads, file)]
    random.Random(1).shuffle(rows)  # noqa: S311 - a reproducible sample, no secret
    return rows[:limit]


def _chunks(text: str) -> Iterator[str]:
    return (piece for reading in decoded_variants(text) for piece in chunks(reading))


def _flagged(attacks: Sequence[Row]) -> dict[str, bool]:
    """Returns the shipped guard's decision on each piece of the attacks. Cached between runs: it takes minutes."""
    folders = prepare(("guard",))
    cache = datasets.cached(f"scan-{folders['minilm-guard'].name}.json")
    known: dict[str, bool] = json.loads(cache.read_text()) if cache.exists() else {}
    missing = [piece for row in attacks for piece in _chunks(row.text) if _key(piece) not in known]
    detector = Detector.load(folders["minilm-guard"])
    for count, piece in enumerate(dict.fromkeys(missing)):
        known[_key(piece)] = detector.probability(piece) >= 0.5
        if count % 500 == 0:
            print(f"\rguard: {count} of {len(missing)} pieces", end="", file=sys.stderr)
    cache.write_text(json.dumps(known))
    return {piece: known[_key(piece)] for row in attacks for piece in _chunks(row.text)}


def _key(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:24]


def _trained(attacks: Sequence[Row], harmless: Sequence[Row], flagged: dict[str, bool]) -> SuspicionScorer:
    positive = [
        window
        for row in attacks
        if not row.is_test
        for piece in _chunks(row.text)
        if flagged[piece]
        for window in _windows(piece)
    ]
    negative = [
        window for row in harmless if not row.is_test for piece in _chunks(row.text) for window in _windows(piece)
    ]
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    model = LogisticRegression(C=100.0, solver="liblinear", random_state=0, tol=1e-3)
    model.fit(_matrix([*positive, *negative]), labels)
    exact: npt.NDArray[np.float64] = model.coef_[0]
    exact[0] = 0  # the empty feature
    scale = float(np.quantile(np.abs(exact[exact != 0]), 0.999)) / 127
    return SuspicionScorer(np.clip(np.round(exact / scale), -127, 127).astype(np.int8))


def _windows(piece: str) -> list[npt.NDArray[np.int64]]:
    """Returns the feature indices of each _WINDOW words."""
    every = feature_indices(piece)
    starts = range(0, max(1, len(every) - _WINDOW + _STRIDE), _STRIDE)
    return [every[start : start + _WINDOW].ravel() for start in starts]


def _matrix(windows: Sequence[npt.NDArray[np.int64]]) -> Any:
    ends = np.cumsum([0, *map(len, windows)])
    values = np.full(ends[-1], 1 / _WINDOW, dtype=np.float32)
    return csr_matrix((values, np.concatenate(windows), ends), shape=(len(windows), 1 << TABLE_BITS))


def _report(scan: SuspicionScorer, attacks: Sequence[Row], harmless: Sequence[Row], flagged: dict[str, bool]) -> None:
    planted = [
        row
        for row in attacks
        if row.is_test and len(row.text) <= _SHORT and any(flagged[piece] for piece in _chunks(row.text))
    ]
    print(f"of {len(planted)} short attacks in long documents, among the most suspicious pieces:")
    for source in (*sorted({row.source for row in harmless if row.source in _TEST_SOURCES}), None):
        rows = [row.text for row in harmless if row.is_test and (source is None or row.source == source)]
        host = [piece for reading in decoded_variants("\n\n".join(rows)[:_DOCUMENT]) for piece in chunks(reading)]
        _shares(source or "every source", scan, host, planted)


def _shares(name: str, scan: SuspicionScorer, host: Sequence[str], planted: Sequence[Row]) -> None:
    draw = random.Random(5)  # noqa: S311 - as above
    scores = np.sort([scan.score(piece) for piece in host])
    above = []
    for row in planted:
        around = draw.choice(host)
        cut = max(0, around.find(" ", draw.randrange(len(around) + 1)))
        best = max(scan.score(piece) for piece in _chunks(f"{around[:cut]} {row.text} {around[cut:]}"))
        above.append(1 - np.searchsorted(scores, best, side="right") / len(scores))
    found = ", ".join(f"{share:.0%}: {np.mean(np.array(above) <= share):.3f}" for share in _SHARES)
    print(f"  {name:40} {len(host):5} pieces   {found}")


if __name__ == "__main__":
    sys.exit(main())

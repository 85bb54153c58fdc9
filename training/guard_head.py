"""Trains triton_models/guard/head.json.

    pip install torch==2.13.0        # on a CPU; nothing else of archgw needs it
    python -m training.guard_head

The features are those that the guard itself computes (the same decoded variants and int8 models), over longer windows.
Everything is pinned or seeded. bastioncorpus is never trained on. It was scored nine times during development, and
token pooling was kept after one of these measurements: its figures are somewhat better than those of unseen attacks.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from controlplane.assets import asset
from extproc.pipeline.guard.decoded_variants import decoded_variants
from training import guard_net, guard_split, guard_texts
from training.datasets import Text
from training.guard_features import Features, Span, features
from training.guard_net import Basis, Batch, Network, Scale
from training.guard_split import NORMAL
from triton_models.guard.head import CLIP
from triton_models.onnx_session import FloatArray

_CALIBRATION = (1, 2)  # folds of normal texts that set the threshold; the first fold's attacks set the skip score
_SEEDS = (0, 1)
_FALSE_POSITIVES = 0.01  # of normal texts; decides where 0.5 lies
_SKIPPED = 0.01  # of attacks; sets the first score below which NanoGuard is not called
_EMBED_COMPONENTS, _CLASSIFY_COMPONENTS = 160, 96
_SAMPLE = 30_000  # tokens from which the components are computed
_WINDOWS = 96  # in a batch
# The weight of each source in the fit, independent of its size.
_WEIGHTS = {
    "extraction": 100,
    "wild": 500,
    "latent": 200,
    "agents": 150,
    "promptinject": 150,
    "generated-attack": 2500,
    "generated-benign": 2000,
    "requests": 1500,
    "questions": 200,
    "long": 900,
    "tools": 200,
    "mailboxes": 150,
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """Texts as inputs of the network. `owner`: the text index of each window."""

    rows: Sequence[Text]
    owner: npt.NDArray[np.int64]
    attack: npt.NDArray[np.bool_]
    batches: Sequence[Batch]
    embed: Basis
    classify: Basis
    scale: Scale


@dataclass(frozen=True, slots=True)
class Trained:
    """The fitted networks, their skip score and their threshold."""

    networks: Sequence[Network]
    skip: float
    threshold: float


def prepared(rows: Sequence[Text]) -> Prepared:
    """Returns the network inputs for each window of each decoded variant of each text."""
    read = [decoded_variants(row.text) for row in rows]
    found = features([reading for of_text in read for reading in of_text])
    windows = [
        (number, span) for number, of_text in enumerate(read) for reading in of_text for span in found.of(reading)
    ]
    spans = [span for _, span in windows]
    embed = _basis(found.embed, [(span.embed, span.embed_count) for span in spans], _EMBED_COMPONENTS)
    classify = _basis(found.classify, [(span.classify, span.classify_count) for span in spans], _CLASSIFY_COMPONENTS)
    context = np.array(found.rows[[span.row for span in spans]])
    context[:, -1] = np.clip(context[:, -1], -CLIP, CLIP) / CLIP
    scale = Scale.of(context)
    return Prepared(
        rows,
        np.array([number for number, _ in windows]),
        np.array([row.attack for row in rows]),
        list(_batches(spans, found, scale(context), embed, classify)),
        embed,
        classify,
        scale,
    )


def _basis(states: npt.NDArray[np.float16], spans: Sequence[tuple[int, int]], width: int) -> Basis:
    """Computes the components from a sample of the states."""
    numbers = np.concatenate([np.arange(first, first + count) for first, count in spans])
    drawn = np.random.default_rng(0).choice(len(numbers), min(_SAMPLE, len(numbers)), replace=False)
    return Basis.of(np.asarray(states[numbers[np.sort(drawn)]], dtype=np.float32), width)


def _batches(
    spans: Sequence[Span], found: Features, context: FloatArray, embed: Basis, classify: Basis
) -> Sequence[Batch]:
    order = np.argsort([span.classify_count for span in spans], kind="stable")
    batches = []
    for start in range(0, len(order), _WINDOWS):
        chosen = order[start : start + _WINDOWS]
        embedded = [embed(_states(found.embed, spans[i].embed, spans[i].embed_count)) for i in chosen]
        classified = [classify(_states(found.classify, spans[i].classify, spans[i].classify_count)) for i in chosen]
        batches.append(Batch(chosen, *_padded(embedded), *_padded(classified), torch.from_numpy(context[chosen])))
    return batches


def _states(states: npt.NDArray[np.float16], first: int, count: int) -> FloatArray:
    return np.asarray(states[first : first + count], dtype=np.float32)


def _padded(every: Sequence[FloatArray]) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(len(each) for each in every)
    values = torch.zeros(len(every), longest, every[0].shape[1], dtype=torch.float16)
    mask = torch.zeros(len(every), longest, dtype=torch.bool)
    for number, each in enumerate(every):
        values[number, : len(each)] = torch.from_numpy(each)
        mask[number, : len(each)] = True
    return values, mask


def trained(data: Prepared) -> Trained:
    """Fits the networks on all texts except those that set the thresholds."""
    groups = np.array([row.group for row in data.rows])
    folds = np.array([guard_split.fold(row.text) for row in data.rows])
    sets_threshold = np.isin(folds, _CALIBRATION) & np.isin(groups, NORMAL)
    sets_skip = (folds == _CALIBRATION[0]) & (groups == "generated-attack")
    seen = ~sets_threshold & ~sets_skip
    counts = Counter(groups[seen])
    share = np.array([_WEIGHTS[group] / counts[group] if one else 0 for group, one in zip(groups, seen, strict=True)])
    share = (share / share[seen].mean()).astype(np.float32)
    networks = []
    for seed in _SEEDS:
        print(f"fitting on {seen.sum()} texts, seed {seed}", file=sys.stderr, flush=True)
        networks.append(guard_net.fit(data.batches, data.owner, data.attack, share, seed))
    scores = _window_scores(data, networks)
    skip = float(np.quantile(_worst(data, scores[:, 0])[sets_skip], _SKIPPED))
    threshold = float(np.quantile(_text_scores(data, scores, skip)[sets_threshold], 1 - _FALSE_POSITIVES))
    return Trained(networks, skip, threshold)


def _window_scores(data: Prepared, networks: Sequence[Network]) -> FloatArray:
    found = [guard_net.scores(network, data.batches, len(data.owner)) for network in networks]
    mean: FloatArray = np.mean(found, axis=0)
    return mean


def _text_scores(data: Prepared, scores: FloatArray, skip: float) -> FloatArray:
    return _worst(data, np.where(scores[:, 0] < skip, -20, scores[:, 1]))


def _worst(data: Prepared, scores: FloatArray) -> FloatArray:
    worst = np.full(len(data.rows), -np.inf, dtype=np.float32)
    np.maximum.at(worst, data.owner, scores)
    return worst


def serialized(data: Prepared, head: Trained) -> str:
    """Returns the text of head.json. Its key `texts` is a hash of the training texts: other texts give another head."""
    texts = hashlib.sha256("\0".join(row.text for row in data.rows).encode()).hexdigest()
    document = {
        "of": "token states of MiniLM and NanoGuard, pooled; see head.py",
        "by": "python -m training.guard_head",
        "texts": texts,
        "skip": round(head.skip, 4),
        "threshold": round(head.threshold, 4),
        "members": [guard_net.serialized(each, data.embed, data.classify, data.scale) for each in head.networks],
    }
    return json.dumps(document, indent=1) + "\n"


def main() -> None:
    """Trains and writes the head."""
    torch.set_num_threads(1)  # nearly the same sums on each machine
    data = prepared(guard_texts.texts())
    (asset("triton_models") / "guard" / "head.json").write_text(serialized(data, trained(data)))


if __name__ == "__main__":
    main()

"""Trains triton_models/guard/head.json.

    pip install torch==2.13.0        # on a CPU; nothing else of archgw needs it
    python -m training.guard_head

Features are what the guard itself computes (the same readings and int8 models), over longer windows. Everything is
pinned or seeded. bastioncorpus is never learnt from. It was scored nine times on the way, though, and token pooling was
kept after one of those looks, so that its figures are somewhat better than those of attacks never seen.
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
from extproc.pipeline.guard.decoded_variants import readings
from training import guard_net, guard_split, guard_texts
from training.guard_features import Features, Place, features
from training.guard_net import Basis, Batch, Network, Scale
from training.guard_split import NORMAL
from training.sources import Text
from triton_models.guard.head import CLIP
from triton_models.onnx_session import FloatArray

_CALIBRATION = (1, 2)  # folds of normal texts that set the threshold; the first one's attacks set what is skipped
_SEEDS = (0, 1)
_FALSE_POSITIVES = 0.01  # of normal texts; decides where 0.5 lies
_SKIPPED = 0.01  # of attacks; decides below which first score NanoGuard is not asked
_EMBED_COMPONENTS, _CLASSIFY_COMPONENTS = 160, 96
_SAMPLE = 30_000  # tokens that the components are computed from
_WINDOWS = 96  # in a batch
# How much each source weighs in the fit, whatever its size.
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
    """Texts as the network takes them. `owner`: each window's text."""

    rows: Sequence[Text]
    owner: npt.NDArray[np.int64]
    attack: npt.NDArray[np.bool_]
    batches: Sequence[Batch]
    embed: Basis
    classify: Basis
    scale: Scale


@dataclass(frozen=True, slots=True)
class Trained:
    """Networks, and from which scores on they flag."""

    networks: Sequence[Network]
    skip: float
    threshold: float


def prepared(rows: Sequence[Text]) -> Prepared:
    """Every window of every reading of every text."""
    read = [readings(row.text) for row in rows]
    found = features([reading for of_text in read for reading in of_text])
    windows = [
        (number, place) for number, of_text in enumerate(read) for reading in of_text for place in found.of(reading)
    ]
    places = [place for _, place in windows]
    embed = _basis(found.embed, [(place.embed, place.embed_count) for place in places], _EMBED_COMPONENTS)
    classify = _basis(
        found.classify, [(place.classify, place.classify_count) for place in places], _CLASSIFY_COMPONENTS
    )
    context = np.array(found.rows[[place.row for place in places]])
    context[:, -1] = np.clip(context[:, -1], -CLIP, CLIP) / CLIP
    scale = Scale.of(context)
    return Prepared(
        rows,
        np.array([number for number, _ in windows]),
        np.array([row.attack for row in rows]),
        list(_batches(places, found, scale(context), embed, classify)),
        embed,
        classify,
        scale,
    )


def _basis(states: npt.NDArray[np.float16], spans: Sequence[tuple[int, int]], width: int) -> Basis:
    """From a sample of the spans' states."""
    numbers = np.concatenate([np.arange(first, first + count) for first, count in spans])
    drawn = np.random.default_rng(0).choice(len(numbers), min(_SAMPLE, len(numbers)), replace=False)
    return Basis.of(np.asarray(states[numbers[np.sort(drawn)]], dtype=np.float32), width)


def _batches(
    places: Sequence[Place], found: Features, context: FloatArray, embed: Basis, classify: Basis
) -> Sequence[Batch]:
    order = np.argsort([place.classify_count for place in places], kind="stable")
    batches = []
    for start in range(0, len(order), _WINDOWS):
        chosen = order[start : start + _WINDOWS]
        said = [embed(_states(found.embed, places[i].embed, places[i].embed_count)) for i in chosen]
        judged = [classify(_states(found.classify, places[i].classify, places[i].classify_count)) for i in chosen]
        batches.append(Batch(chosen, *_padded(said), *_padded(judged), torch.from_numpy(context[chosen])))
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
    """Networks that learn from all texts but those that set the thresholds."""
    groups = np.array([row.group for row in data.rows])
    folds = np.array([guard_split.fold(row.text) for row in data.rows])
    calibrates = np.isin(folds, _CALIBRATION) & np.isin(groups, NORMAL)
    judges = (folds == _CALIBRATION[0]) & (groups == "generated-attack")
    seen = ~calibrates & ~judges
    counts = Counter(groups[seen])
    share = np.array([_WEIGHTS[group] / counts[group] if one else 0 for group, one in zip(groups, seen, strict=True)])
    share = (share / share[seen].mean()).astype(np.float32)
    networks = []
    for seed in _SEEDS:
        print(f"fitting on {seen.sum()} texts, seed {seed}", file=sys.stderr, flush=True)
        networks.append(guard_net.fit(data.batches, data.owner, data.attack, share, seed))
    scores = _window_scores(data, networks)
    skip = float(np.quantile(_worst(data, scores[:, 0])[judges], _SKIPPED))
    threshold = float(np.quantile(_text_scores(data, scores, skip)[calibrates], 1 - _FALSE_POSITIVES))
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


def written(data: Prepared, head: Trained) -> str:
    """head.json. `texts` names what it learnt from: another version of a source would give another head."""
    texts = hashlib.sha256("\0".join(row.text for row in data.rows).encode()).hexdigest()
    document = {
        "of": "token states of MiniLM and NanoGuard, pooled; see head.py",
        "by": "python -m training.guard_head",
        "texts": texts,
        "skip": round(head.skip, 4),
        "threshold": round(head.threshold, 4),
        "members": [guard_net.written(each, data.embed, data.classify, data.scale) for each in head.networks],
    }
    return json.dumps(document, indent=1) + "\n"


def main() -> None:
    """Writes the head."""
    torch.set_num_threads(1)  # the same sums on every machine, or nearly
    data = prepared(guard_texts.texts())
    (asset("triton_models") / "guard" / "head.json").write_text(written(data, trained(data)))


if __name__ == "__main__":
    main()

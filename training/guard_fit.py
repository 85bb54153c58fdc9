"""Fits the guard's encoder: `python -m training.guard_fit --bags bags.jsonl --out adapter.npz`.

    pip install torch==2.13.0 scikit-learn        # on a CPU; nothing else of archgw needs them

Of an attack, the highest-scoring window is trained on; of a harmless text, any window. Texts that differ in one
sentence are in one batch, and the attack of a pair must score higher. guard_thresholds.py comes next. All is seeded.
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from controlplane.models.prepare import prepare
from training.guard_bags import Bag, load
from training.guard_encoder import GuardEncoder, padded_tensors
from triton_models.guard.window_tokens import WindowTokenizer

_BATCH: Final = 32
_ATTACKS: Final = 0.42  # share of a batch
_TEMPER: Final = 0.4  # a source with n texts is drawn n ** (1 - _TEMPER) times as often as one with a single text
_BEST_WINDOW: Final = 0.85  # how often the highest-scoring window of an attack is taken, else any of its windows
_RESCORED: Final = 4  # draws of an attack between two scorings of its windows
_WARM_UP: Final = 60  # steps
_HEAD_RATE: Final = 1.5  # of the adapters' rate
_SMOOTHING: Final = 0.02
_MARGIN, _PAIR_WEIGHT = 2.0, 0.15
_MINED_WEIGHT: Final = 4.0


class Score:
    """Scores of windows by the network as it is now, without dropout."""

    def __init__(self, network: GuardEncoder, tokens: WindowTokenizer) -> None:
        self._network = network
        self._tokens = tokens

    def __call__(self, windows: Sequence[tuple[str, str]]) -> list[float]:
        rows = [self._tokens.ids(window, role) for window, role in windows]
        scores = [0.0] * len(rows)
        order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
        self._network.eval()
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            for start in range(0, len(order), 48):
                batch = order[start : start + 48]
                for index, value in zip(batch, self._network(*padded_tensors([rows[i] for i in batch])), strict=True):
                    scores[index] = float(value)
        self._network.train()
        return scores


@dataclass(slots=True)
class Item:
    """One window of a batch. `group`: index of the pair in this batch, or None."""

    window: str
    bag: Bag
    group: int | None = None


@dataclass
class Sampler:
    """Draws batches. `hard`: for some harmless bags, the windows that an earlier model scored highest."""

    bags: Sequence[Bag]
    hard: Mapping[int, Sequence[str]]
    random: random.Random
    _best: dict[int, str] = field(default_factory=dict)
    _draws: Counter[int] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.attacks = [bag for bag in self.bags if bag.label]
        self.harmless = [bag for bag in self.bags if not bag.label]
        self._attack_weights = [bag.weight * each for bag, each in _tempered(self.attacks)]
        self._harmless_weights = [
            each * (_MINED_WEIGHT if bag.id in self.hard else 1) for bag, each in _tempered(self.harmless)
        ]
        self._siblings: defaultdict[str, list[Bag]] = defaultdict(list)
        for bag in self.harmless:
            if bag.pair is not None:
                self._siblings[bag.pair].append(bag)

    def batch(self, score: Score) -> list[Item]:
        attacks = self.random.choices(self.attacks, self._attack_weights, k=round(_BATCH * _ATTACKS))
        self._rescore(attacks, score)
        items: list[Item] = []
        for group, bag in enumerate(attacks):
            siblings = self._siblings.get(bag.pair) if bag.pair is not None else None
            items.append(Item(self._window(bag), bag, group if siblings else None))
            if siblings:
                sibling = self.random.choice(siblings)
                items.append(Item(self.random.choice(sibling.windows), sibling, group))
        rest = max(0, _BATCH - len(items))
        for bag in self.random.choices(self.harmless, self._harmless_weights, k=rest):
            hard = self.hard.get(bag.id) if self.random.random() < 0.5 else None
            items.append(Item(self.random.choice(hard or bag.windows), bag))
        return items

    def _rescore(self, attacks: Sequence[Bag], score: Score) -> None:
        stale = [bag for bag in attacks if len(bag.windows) > 1 and self._draws[bag.id] % _RESCORED == 0]
        scores = iter(score([(window, bag.role) for bag in stale for window in bag.windows]))
        for bag in stale:
            self._best[bag.id] = max((next(scores), window) for window in bag.windows)[1]
        self._draws.update(bag.id for bag in attacks)

    def _window(self, bag: Bag) -> str:
        if bag.id in self._best and self.random.random() < _BEST_WINDOW:
            return self._best[bag.id]
        return self.random.choice(bag.windows)


def _tempered(bags: Sequence[Bag]) -> list[tuple[Bag, float]]:
    counts = Counter((bag.source, bag.kind) for bag in bags)
    return [(bag, counts[bag.source, bag.kind] ** -_TEMPER) for bag in bags]


def _loss(scores: torch.Tensor, items: Sequence[Item]) -> torch.Tensor:
    labels = torch.tensor([float(item.bag.label) for item in items])
    weights = torch.tensor([item.bag.weight**0.5 if item.bag.label else 1.0 for item in items])
    smooth = labels * (1 - 2 * _SMOOTHING) + _SMOOTHING
    loss = (functional.binary_cross_entropy_with_logits(scores, smooth, reduction="none") * weights).mean()
    places = {(item.group, item.bag.label): index for index, item in enumerate(items) if item.group is not None}
    pairs = [(place, places[group, 0]) for (group, label), place in places.items() if label and (group, 0) in places]
    if not pairs:
        return loss
    higher, lower = zip(*pairs, strict=True)
    return loss + _PAIR_WEIGHT * functional.softplus(_MARGIN - (scores[list(higher)] - scores[list(lower)])).mean()


def fit(network: GuardEncoder, sampler: Sampler, tokens: WindowTokenizer, steps: int, rate: float) -> None:
    """Trains in place, in bfloat16."""
    adapters, head = network.trained()
    groups = [{"params": adapters, "lr": rate}, {"params": head, "lr": rate * _HEAD_RATE}]
    optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.01)
    rates = [group["lr"] for group in optimizer.param_groups]
    score, began, mean = Score(network, tokens), time.monotonic(), 0.0
    network.train()
    for step in range(steps):
        factor = min(1.0, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps)) + 0.02
        for group, first in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = first * factor
        items = sampler.batch(score)
        ids, mask = padded_tensors([tokens.ids(item.window, item.bag.role) for item in items])
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = network(ids, mask)
        loss = _loss(scores, items)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([*adapters, *head], 1.0)
        optimizer.step()
        mean = 0.98 * mean + 0.02 * loss.item()
        if (step + 1) % 25 == 0:
            print(
                f"{step + 1} of {steps}: loss {mean / (1 - 0.98 ** (step + 1)):.4f}, {time.monotonic() - began:.0f} s"
            )


def mined(bags: Sequence[Bag], score: Score, count: int, random: random.Random) -> dict[int, list[str]]:
    """Returns the highest-scoring window of `count` harmless bags, where the model is not sure that it is harmless."""
    harmless = [bag for bag in bags if not bag.label]
    weights = [each for _, each in _tempered(harmless)]
    chosen = list({bag.id: bag for bag in random.choices(harmless, weights, k=count)}.values())
    scores = iter(score([(window, bag.role) for bag in chosen for window in bag.windows]))
    found: dict[int, list[str]] = {}
    for bag in chosen:
        best, window = max((next(scores), window) for window in bag.windows)
        if best > -2:
            found[bag.id] = [window]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Fits the guard's encoder.")
    parser.add_argument("--bags", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True, help="model.safetensors of all-MiniLM-L6-v2")
    parser.add_argument("--out", type=Path, required=True, help="adapter.npz; the state for --init lies beside it")
    parser.add_argument("--init", type=Path, help="the state of an earlier run")
    parser.add_argument("--windows", type=int, default=60_000)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--mine", type=int, default=0, help="harmless texts searched for the errors of --init")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    # One thread: nearly the same sums on each machine.
    torch.set_num_threads(1)
    torch.manual_seed(arguments.seed)
    draw = random.Random(arguments.seed)  # noqa: S311 - reproducible, no secret
    bags = [bag for bag in load(arguments.bags) if bag.split == "train"]
    network = GuardEncoder(arguments.weights)
    if arguments.init:
        network.load_state_dict(torch.load(arguments.init, weights_only=True), strict=False)
    tokens = WindowTokenizer(prepare(("guard",))["minilm-guard"] / "tokenizer.json")
    hard = mined(bags, Score(network, tokens), arguments.mine, draw)
    print(f"{len(bags)} texts, {len(hard)} of them hard")
    fit(network, Sampler(bags, hard, draw), tokens, arguments.windows // _BATCH, arguments.rate)
    torch.save({name: each.detach() for name, each in network.named_parameters()}, arguments.out.with_suffix(".pt"))
    np.savez(arguments.out, **network.adapter())
    return 0


if __name__ == "__main__":
    sys.exit(main())

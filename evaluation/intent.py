"""The section `intent`: whether the intent stage finds the right target, and rejects prompts that match none.

Data: BFCL v4, its written part (simple, multiple) and its live part, which users of real tools wrote. Each function
with enough prompts is a target with its own name, description and parameters; a gateway has ten of them, drawn at
random. Out-of-scope prompts: requests to other tools, and questions (fitz-gov).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from controlplane.compile.prompting import INTENT_THRESHOLD
from evaluation import bfcl
from evaluation.report import Section, table
from evaluation.roc import auc
from extproc.inference.interface import Embeddings, FloatMatrix
from extproc.inference.role_clients import RoleClients
from extproc.pipeline.intent.similarity import target_texts
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Target
from training import datasets, intent_data, intent_gateways
from training.intent_gateways import Gateway

_TARGETS: Final = 10
_EXAMPLES: Final = 5
_GATEWAYS: Final = 60
_OTHERS: Final = 25
_THRESHOLDS: Final = (0.06, 0.09, 0.12, INTENT_THRESHOLD, 0.18, 0.22, 0.27, 0.33)
_SIZES: Final = (2, 4, 8, 16, 32, 64, 128)
# Cosine from which two descriptions are too close for one gateway.
_CLOSE: Final = 0.6


@dataclass
class CachedModels:
    """Caches the embeddings of Triton's model."""

    models: RoleClients
    known: dict[str, FloatMatrix] = field(default_factory=dict)

    @property
    def spaces(self) -> Sequence[str]:
        """One space: the models are local."""
        return self.models.spaces

    async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
        missing = list(dict.fromkeys(text for text in texts if text not in self.known))
        if missing:
            self.known.update(zip(missing, (await self.models.embed(missing, spaces)).vectors, strict=True))
        return Embeddings(np.stack([self.known[text] for text in texts]), self.spaces[0])


Prompts = dict[Target, list[str]]

_WRITTEN: Final = ("simple_python", "multiple")
_LIVE: Final = ("live_simple", "live_multiple")


@dataclass
class Scores:
    """The best target's score for each prompt. `in_scope`: prompts that match a target, `right`: whether it won."""

    right: list[bool] = field(default_factory=list)
    in_scope: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    questions: list[float] = field(default_factory=list)


def prompts_of(categories: Sequence[str], minimum: int) -> Prompts:
    """Returns the functions of these categories with the prompts that call only them, if there are `minimum`."""
    prompts: dict[str, dict[str, None]] = {}
    targets: dict[str, Target] = {}
    for category in categories:
        for row in bfcl.rows(category):
            if len(set(row.right_names)) == 1:
                name = row.right_names[0]
                targets[name] = next(target for target in row.targets if target.name == name)
                prompts.setdefault(name, {})[_user_text(row)] = None
    return {targets[name]: list(texts) for name, texts in prompts.items() if len(texts) >= minimum}


def _user_text(row: bfcl.Row) -> str:
    return "\n".join(message["content"] for message in row.messages if message["role"] == "user")


def is_test(target: Target) -> bool:
    """Returns whether a target is for the test: two thirds are; score and threshold were chosen on the others."""
    return int(hashlib.sha256(target.name.encode()).hexdigest(), 16) % 3 != 0


async def scores(
    models: CachedModels, prompts: Prompts, others: Prompts, questions: Sequence[str], examples: int
) -> Scores:
    """Scores prompts on gateways of random targets with `examples` examples each; the examples are not scored."""
    targets = list(prompts)
    draw, taken = random.Random(1), Scores()  # noqa: S311 - a reproducible sample, no secret
    for _ in range(_GATEWAYS):
        chosen = {}
        for target in await _dissimilar(models, draw.sample(targets, len(targets))):
            shown = draw.sample(prompts[target], examples)
            chosen[target.name] = (msgspec.structs.replace(target, examples=tuple(shown)), set(shown))
        index = TargetIndex(models, [target for target, _ in chosen.values()])  # type: ignore[arg-type]
        await index.build()
        for target in targets:
            if target.name in chosen:
                rest = [text for text in prompts[target] if text not in chosen[target.name][1]]
                for prompt in draw.sample(rest, min(_EXAMPLES, len(rest))):
                    best = (await index.rank(prompt))[0]
                    taken.right.append(best.target.name == target.name)
                    taken.in_scope.append(best.score)
        requests = [texts[0] for target, texts in others.items() if target.name not in chosen]
        for request in draw.sample(requests, _OTHERS):
            taken.requests.append((await index.rank(request))[0].score)
        for question in draw.sample(questions, _OTHERS):
            taken.questions.append((await index.rank(question))[0].score)
    return taken


async def _dissimilar(models: CachedModels, targets: Sequence[Target]) -> list[Target]:
    """Returns the first ten targets of which no two are similar."""
    chosen: list[Target] = []
    vectors = (await models.embed([target_texts(target)[0] for target in targets])).vectors
    rows: list[int] = []
    for row, target in enumerate(targets):
        if len(chosen) < _TARGETS and all(float(vectors[row] @ vectors[other]) < _CLOSE for other in rows):
            chosen.append(target)
            rows.append(row)
    return chosen


def _shares(taken: Scores, threshold: float) -> str:
    parts = (taken.in_scope, taken.requests, taken.questions)
    return " / ".join(f"{float(np.mean(np.array(part) >= threshold)):.2f}" for part in parts)


async def gateway_rows(models: CachedModels, gateways: Sequence[Gateway]) -> list[list[str | int | float]]:
    """Returns a row for each group: prompts, top-1, AUC of near and far texts, and the shares over the threshold."""
    rows: list[list[str | int | float]] = []
    for group in dict.fromkeys(gateway.group for gateway in gateways):
        right: list[bool] = []
        best: dict[str, list[float]] = {"asked": [], "near": [], "far": []}
        for gateway in (each for each in gateways if each.group == group):
            index = TargetIndex(models, gateway.targets)  # type: ignore[arg-type]
            await index.build()
            for text, name in gateway.asked:
                first = (await index.rank(text))[0]
                right.append(first.target.name == name)
                best["asked"].append(first.score)
            for kind, texts in (("near", gateway.near), ("far", gateway.far)):
                best[kind] += [(await index.rank(text))[0].score for text in texts]
        passed = " / ".join(f"{float(np.mean(np.array(each) >= INTENT_THRESHOLD)):.2f}" for each in best.values())
        aucs = [auc(best["asked"], best[kind]) for kind in ("near", "far")]
        rows.append([group, len(right), float(np.mean(right)), *aucs, passed])
    return rows


async def _unseen(models: CachedModels, written: Prompts) -> str:
    if not intent_data.SHARED.is_dir():
        return f"Gateways of unseen services are measured where {intent_data.SHARED.parent.name} has the shared data."
    sized = intent_gateways.sizes({target: texts for target, texts in written.items() if is_test(target)}, _SIZES)
    gateways = [
        *intent_gateways.unseen("test"),
        *intent_gateways.languages(),
        *(gateway for group in sized.values() for gateway in group),
    ]
    head = ["", "prompts", "top-1", "AUC, near", "AUC, far", "over the threshold: asked / near / far"]
    return f"""Gateways whose targets were in no training row. *Near*: requests to tools of the same source
that the gateway
does not have. *Far*: school mathematics, chat and instructions. *Assistant* and *smart home* have English descriptions;
the language is that of the prompts. *Targets*: written functions of BFCL.

{table(head, await gateway_rows(models, gateways))}"""


async def measure(models: RoleClients) -> Section:
    """Measures zero-shot and with examples, on the test targets."""
    cached = CachedModels(models)
    written, live = prompts_of(_WRITTEN, 1), prompts_of(_LIVE, _EXAMPLES + 1)
    tested = {target: prompts for target, prompts in live.items() if is_test(target)}
    questions = [text.text for text in datasets.documents() if text.group == "questions"]
    taken = {
        "written, zero-shot": await scores(cached, written, written, questions, 0),
        "live, zero-shot": await scores(cached, tested, written, questions, 0),
        f"live, {_EXAMPLES} examples a target": await scores(cached, tested, written, questions, _EXAMPLES),
    }
    quality = [
        [
            name,
            len(each.right),
            float(np.mean(each.right)),
            auc(each.in_scope, each.requests + each.questions),
            auc(each.in_scope, each.requests),
            auc(each.in_scope, each.questions),
        ]
        for name, each in taken.items()
    ]
    curve = [
        [
            f"{threshold:.2f}" + (" (default)" if threshold == INTENT_THRESHOLD else ""),
            *(_shares(each, threshold) for each in taken.values()),
        ]
        for threshold in _THRESHOLDS
    ]
    body = f"""Data: BFCL v4 (`bfcl-eval`). *Written*: the {len(written)} functions of simple and multiple, one or two
prompts each. *Live*: the {len(live)} functions of its live part with more than {_EXAMPLES} prompts, by users of real
tools, some of them in other languages, {sum(map(len, live.values()))} prompts in all. {len(tested)} of these functions
are reported. The parts of a score, their weights and the threshold were chosen on the others. There are {_GATEWAYS}
gateways of {_TARGETS} targets each, drawn at random. No two targets of a gateway are similar (cosine of their
descriptions under {_CLOSE}). The descriptions are the functions' own, unchanged. Out of scope: requests to other tools
(written) and {len(questions)} questions (`fitz-gov`), half and half.

{table(["", "prompts", "top-1", "out-of-scope AUC", "AUC, other tools", "AUC, questions"], quality)}

Share of prompts that pass a threshold: prompts that mean a target / requests to other tools / questions. Prompts that
pass go to the function model, which makes no call for most of those that do not fit.

{table(["threshold", *taken], curve)}

The default favours recall: a prompt that passes wrongly costs a call of the function model, but a prompt that is
rejected wrongly is a request that the gateway did not understand. Examples improve the result most.

{await _unseen(cached, written)}"""
    return Section("intent", "Intent", body)

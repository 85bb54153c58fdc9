"""Does the intent find the target that a prompt means, and tell the prompts that mean none?

Data: BFCL v4. Its written part (simple, multiple), and its live part: requests that users of real tools wrote. Every
function with enough prompts is a target with its own name, description and parameters; a gateway has ten of them, drawn
at random. Prompts that mean none: requests to other tools and questions (fitz-gov).
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
from extproc.pipeline.intent.similarity import views
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Target
from training import sources

_TARGETS: Final = 10
_EXAMPLES: Final = 5
_GATEWAYS: Final = 60
_OTHERS: Final = 25
_THRESHOLDS: Final = (0.15, 0.20, INTENT_THRESHOLD, 0.25, 0.30, 0.35, 0.40)
# Nobody gives one gateway two targets that say the same in other words.
_ALIKE: Final = 0.6


@dataclass
class Remembering:
    """The embeddings of Triton's model, each text's asked for once."""

    models: RoleClients
    known: dict[str, FloatMatrix] = field(default_factory=dict)

    @property
    def spaces(self) -> Sequence[str]:
        """There is one: the models are local."""
        return self.models.spaces

    async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
        fresh = list(dict.fromkeys(text for text in texts if text not in self.known))
        if fresh:
            self.known.update(zip(fresh, (await self.models.embed(fresh, spaces)).vectors, strict=True))
        return Embeddings(np.stack([self.known[text] for text in texts]), self.spaces[0])


Prompts = dict[Target, list[str]]

_WRITTEN: Final = ("simple_python", "multiple")
_LIVE: Final = ("live_simple", "live_multiple")


@dataclass
class Scores:
    """What the best target of each prompt scored, and whether it was the right one."""

    right: list[bool] = field(default_factory=list)
    meant: list[float] = field(default_factory=list)
    requests: list[float] = field(default_factory=list)
    questions: list[float] = field(default_factory=list)


def meant(categories: Sequence[str], least: int) -> Prompts:
    """Every function of these categories with the prompts that call it alone, where it has at least so many."""
    prompts: dict[str, dict[str, None]] = {}
    targets: dict[str, Target] = {}
    for category in categories:
        for row in bfcl.rows(category):
            if len(set(row.right_names)) == 1:
                name = row.right_names[0]
                targets[name] = next(target for target in row.targets if target.name == name)
                prompts.setdefault(name, {})[_said(row)] = None
    return {targets[name]: list(said) for name, said in prompts.items() if len(said) >= least}


def _said(row: bfcl.Row) -> str:
    return "\n".join(message["content"] for message in row.messages if message["role"] == "user")


def is_test(target: Target) -> bool:
    """Two targets of three. On the others the parts of a score, their weights and the threshold were chosen."""
    return int(hashlib.sha256(target.name.encode()).hexdigest(), 16) % 3 != 0


async def scores(
    models: Remembering, prompts: Prompts, others: Prompts, questions: Sequence[str], examples: int
) -> Scores:
    """Every draw's gateway, its targets with so many examples each, which are not asked about."""
    targets = list(prompts)
    draw, taken = random.Random(1), Scores()  # noqa: S311 - a reproducible sample, no secret
    for _ in range(_GATEWAYS):
        chosen = {}
        for target in await _unlike(models, draw.sample(targets, len(targets))):
            shown = draw.sample(prompts[target], examples)
            chosen[target.name] = (msgspec.structs.replace(target, examples=tuple(shown)), set(shown))
        index = TargetIndex(models, [target for target, _ in chosen.values()])  # type: ignore[arg-type]
        await index.build()
        for target in targets:
            if target.name in chosen:
                rest = [text for text in prompts[target] if text not in chosen[target.name][1]]
                for said in draw.sample(rest, min(_EXAMPLES, len(rest))):
                    best = (await index.rank(said))[0]
                    taken.right.append(best.target.name == target.name)
                    taken.meant.append(best.score)
        requests = [texts[0] for target, texts in others.items() if target.name not in chosen]
        for request in draw.sample(requests, _OTHERS):
            taken.requests.append((await index.rank(request))[0].score)
        for question in draw.sample(questions, _OTHERS):
            taken.questions.append((await index.rank(question))[0].score)
    return taken


async def _unlike(models: Remembering, targets: Sequence[Target]) -> list[Target]:
    """The first ten of which no two are alike."""
    chosen: list[Target] = []
    vectors = (await models.embed([views(target)[0] for target in targets])).vectors
    rows: list[int] = []
    for row, target in enumerate(targets):
        if len(chosen) < _TARGETS and all(float(vectors[row] @ vectors[other]) < _ALIKE for other in rows):
            chosen.append(target)
            rows.append(row)
    return chosen


def _shares(taken: Scores, threshold: float) -> str:
    parts = (taken.meant, taken.requests, taken.questions)
    return " / ".join(f"{float(np.mean(np.array(part) >= threshold)):.2f}" for part in parts)


async def measure(models: RoleClients) -> Section:
    """Zero-shot and with examples, on the targets that nothing was chosen on."""
    remembering = Remembering(models)
    written, live = meant(_WRITTEN, 1), meant(_LIVE, _EXAMPLES + 1)
    tested = {target: said for target, said in live.items() if is_test(target)}
    questions = [text.text for text in sources.documents() if text.group == "questions"]
    taken = {
        "written, zero-shot": await scores(remembering, written, written, questions, 0),
        "live, zero-shot": await scores(remembering, tested, written, questions, 0),
        f"live, {_EXAMPLES} examples a target": await scores(remembering, tested, written, questions, _EXAMPLES),
    }
    quality = [
        [
            name,
            len(each.right),
            float(np.mean(each.right)),
            auc(each.meant, each.requests + each.questions),
            auc(each.meant, each.requests),
            auc(each.meant, each.questions),
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
tools, some of them in other languages, {sum(map(len, live.values()))} prompts in all. {len(tested)} of those functions
are reported; the other ones were what the parts of a score, their weights and the threshold were chosen on. {_GATEWAYS}
gateways of {_TARGETS} targets each, drawn at random, no two of them alike (cosine of their descriptions under
{_ALIKE}), with the functions' own descriptions, which nobody improved. Out of scope: requests to other tools (written)
and {len(questions)} questions (`fitz-gov`), half and half.

{table(["", "prompts", "top-1", "out-of-scope AUC", "AUC, other tools", "AUC, questions"], quality)}

What passes a threshold and is read by the function model, which abstains from most of what does not fit: prompts that
mean a target / requests to other tools / questions.

{table(["threshold", *taken], curve)}

The default leans to recall: a prompt that is let through wrongly costs a call of the function model, one that is kept
out wrongly is a request that the gateway did not understand. Examples help more than anything else."""
    return Section("intent", "Intent", body)

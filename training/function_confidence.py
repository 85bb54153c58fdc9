"""Measures the confidence thresholds of function calls, behind the intent stage, as the gateway runs it. Prints a table
for docs/models.md.

    python -m training.function_confidence [COUNT]

Prompts: COUNT (60) of BFCL's development half, of "simple", "multiple" and "parallel" (a call is right) and of
"irrelevance" (no call is right). A call takes a third of a second; reading its tools takes as long again.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from controlplane.compile.prompting import INTENT_THRESHOLD
from controlplane.models.prepare import prepare
from evaluation import bfcl
from evaluation.functions import halves, sample
from extproc.conversation import current_turn
from extproc.conversation.messages import Message
from extproc.inference.interface import Embeddings, Extraction, FunctionCall, RoleUnavailable
from extproc.pipeline.functions import tool_selection
from extproc.pipeline.functions.tool_selection import Clarification, NoTargetCall, TargetCalls
from extproc.pipeline.intent.target_index import ScoredTarget, TargetIndex
from extproc.shared.filter_config import Intent, JsonValue, TextRole
from extproc.shared.roles import Role
from extproc.shared.scripts import Script
from triton_models.embed.encoder import Encoder
from triton_models.function.needle import NeedleEngines
from triton_models.function.needle_caller import NeedleCaller

# (confidence, sure); `sure` above 1 switches that rule off.
_THRESHOLDS = ((0.0, 0.0), (0.1, 2.0), (0.1, 0.0), (0.05, 0.4), (0.1, 0.4), (0.2, 0.4), (0.1, 0.5), (0.1, 0.3))


class LocalModels:
    """The models in this process, without Triton."""

    def __init__(self) -> None:
        paths = prepare(("embed", "function"))
        self._encoder, self._caller = (
            Encoder(paths["minilm-intent"]),
            NeedleCaller(NeedleEngines(paths["needle"], 1), 512),
        )

    @property
    def spaces(self) -> Sequence[str]:
        return ["here"]

    async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
        return Embeddings(np.stack([self._encoder.encode(text) for text in texts]), "here")

    async def attack_probabilities(
        self, role: Role, texts: Sequence[str], text_roles: Sequence[TextRole] = ()
    ) -> tuple[float, ...]:
        raise RoleUnavailable(role, "unreachable", "not loaded")

    def readable_scripts(self, role: Role) -> frozenset[Script]:
        raise RoleUnavailable(role, "unreachable", "not loaded")

    def readable_bytes(self, role: Role) -> float | None:
        del role
        return None

    async def entailments(self, premise: str, hypotheses: Sequence[str]) -> tuple[float, ...]:
        raise RoleUnavailable(Role.NLI, "unreachable", "not loaded")

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        answer = json.loads(self._caller.reply(json.dumps({"messages": messages, "tools": tools})))
        calls = tuple(FunctionCall(call["name"], call["arguments"]) for call in answer["tool_calls"])
        return Extraction(calls, answer.get("confidence", 0.0))


class RecordedModels(LocalModels):
    """A function model that replays one recorded answer."""

    def __init__(self, extraction: Extraction) -> None:
        self._extraction = extraction

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        return self._extraction


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt with its candidates and the function model's answer."""

    row: bfcl.Row
    candidates: Sequence[ScoredTarget]
    extraction: Extraction


async def prompts(category: str, count: int, models: LocalModels) -> list[Prompt]:
    """Returns a sample of the development half of `category`."""
    intent = Intent(threshold=INTENT_THRESHOLD)
    found = []
    for row in sample(halves(bfcl.rows(category))[0], count):
        index = TargetIndex(models, row.targets)
        await index.build()
        turn = current_turn.read(row.messages)
        ranked = await index.rank(turn.user_text)
        close = [scored for scored in ranked if scored.score >= ranked[0].score - intent.margin][: intent.candidates]
        candidates = close if ranked[0].score >= intent.threshold else []
        messages: list[Message] = [dict(message) for message in row.messages]
        tools = [tool_selection.openai_tool(scored.target) for scored in candidates]
        found.append(Prompt(row, candidates, await models.call_functions(messages, tools)))
    return found


async def decide(prompt: Prompt, intent: Intent) -> TargetCalls | Clarification | NoTargetCall:
    """Returns the gateway's decision under these thresholds, before grounding."""
    if not prompt.candidates:
        return NoTargetCall()
    turn = current_turn.read(prompt.row.messages)
    return await tool_selection.select_calls(RecordedModels(prompt.extraction), prompt.candidates, turn, intent)


async def table(count: int) -> None:
    models, checker = LocalModels(), bfcl.Checker()
    kinds = [
        (
            "right",
            [p for name in ("simple_python", "multiple", "parallel") for p in await prompts(name, count, models)],
        ),
        ("irrelevant", await prompts("irrelevance", count, models)),
    ]
    print("| confidence | sure | prompts | called | exact | clarified | no call |\n|---|---|---|---|---|---|---|")
    for confidence, sure in _THRESHOLDS:
        for kind, rows in kinds:
            made = [await decide(p, Intent(threshold=INTENT_THRESHOLD, confidence=confidence, sure=sure)) for p in rows]
            shares = [
                sum(isinstance(each, of) for each in made) / len(made)
                for of in (TargetCalls, Clarification, NoTargetCall)
            ]
            exact = [
                checker.exact(p.row, [(call.target.name, call.arguments) for call in each.calls])
                for p, each in zip(rows, made, strict=True)
                if isinstance(each, TargetCalls) and p.row.answers is not None
            ]
            called, clarified, nothing = (f"{share:.2f}" for share in shares)
            right = f"{sum(exact) / len(made):.2f}" if exact else "-"
            never = "never" if sure > 1 else f"{sure:.1f}"
            print(f"| {confidence} | {never} | {kind} ({len(rows)}) | {called} | {right} | {clarified} | {nothing} |")


def main() -> None:
    """Prints the table."""
    asyncio.run(table(int(sys.argv[1]) if len(sys.argv) > 1 else 60))


if __name__ == "__main__":
    main()

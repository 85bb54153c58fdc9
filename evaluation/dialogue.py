"""The section `dialogue`: the decision on the last turn of dialogues with a clarification.

The dialogues are in dialogues.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane.compile.prompting import INTENT_THRESHOLD
from evaluation.report import Section, table
from extproc.codecs.json_values import encode_json
from extproc.conversation import current_turn
from extproc.conversation.messages import Message
from extproc.inference.interface import Models
from extproc.pipeline.functions.tool_selection import Clarification, NoTargetCall, TargetCalls
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import (
    EndpointCall,
    Grounding,
    HttpMethod,
    Intent,
    Parameter,
    ParameterType,
    Prompting,
    Target,
)

_FILE: Final = Path(__file__).parent / "dialogues.yaml"
_TODAY: Final = date(2026, 11, 22)


@dataclass(frozen=True, slots=True)
class Dialogue:
    """`turns`: as in the file. `expected`: the decision that the last one must lead to."""

    turns: tuple[str, ...]
    expected: Mapping[str, Any]

    @property
    def messages(self) -> list[Message]:
        return [
            {"role": "assistant", "content": f"Could you provide the following details {turn[2:]} ?"}
            if turn.startswith("? ")
            else {"role": "user", "content": turn}
            for turn in self.turns
        ]


def dialogues(part: str) -> tuple[list[Target], list[Dialogue]]:
    """Returns the targets, and the dialogues of the part "dev" or "test"."""
    document = yaml.safe_load(_FILE.read_text())
    parsed = [
        Dialogue(tuple(row["turns"]), {key: value for key, value in row.items() if key != "turns"})
        for row in document[part]
    ]
    return [_target(row) for row in document["targets"]], parsed


def _target(row: Mapping[str, Any]) -> Target:
    return Target(
        name=row["name"],
        description=row["description"],
        call=EndpointCall(endpoint="api", upstream="api", method=HttpMethod.POST, path="/"),
        parameters=tuple(
            Parameter(
                name=each["name"],
                type=ParameterType(each["type"]),
                description=each["description"],
                required=each.get("required", False),
                enum=tuple(each.get("enum", ())),
                format=each.get("format"),
                default_json=encode_json(each["default"]).decode() if "default" in each else None,
            )
            for each in row["parameters"]
        ),
    )


def is_as_expected(outcome: TargetCalls | Clarification | NoTargetCall, expected: Mapping[str, Any]) -> bool:
    """Returns whether the turn led to the expected decision."""
    match outcome:
        case TargetCalls((call,)):
            values = expected.get("call", {}).get(call.target.name)
            return values is not None and all(_same(call.arguments.get(name), value) for name, value in values.items())
        case Clarification(target, missing):
            return bool(expected.get("ask", {}).get(target.name) == list(missing))
        case NoTargetCall():
            return bool(expected.get("none"))
    return False


def _same(given: object, value: object) -> bool:
    """Compares texts without case and surrounding punctuation; other values have their types from the gateway."""
    if isinstance(given, str) and isinstance(value, str):
        return given.casefold().strip(" .!") == value.casefold().strip(" .!")
    return given == value


async def outcomes(
    models: Models, part: str, intent: Intent
) -> list[tuple[Dialogue, TargetCalls | Clarification | NoTargetCall]]:
    """Returns the decision on each dialogue of a part."""
    targets, part_dialogues = dialogues(part)
    index = TargetIndex(models, targets)
    await index.build()
    prompting = Prompting(intent=intent, grounding=Grounding(threshold=0.5), targets=tuple(targets))
    resolver = IntentResolver(models, index, prompting, today=lambda: _TODAY)
    found = []
    for dialogue in part_dialogues:
        turn = current_turn.read(dialogue.messages, targets)
        found.append((dialogue, await resolver.resolve(turn, await resolver.find_candidates(turn))))
    return found


def _row(part: str, rows: Sequence[tuple[Dialogue, TargetCalls | Clarification | NoTargetCall]]) -> list[object]:
    kinds = {
        kind: [is_as_expected(outcome, dialogue.expected) for dialogue, outcome in rows if kind in dialogue.expected]
        for kind in ("call", "ask", "none")
    }
    right = sum(map(sum, kinds.values()))
    return [part, f"{right} / {len(rows)}", *(f"{sum(of)} / {len(of)}" for of in kinds.values())]


async def measure(models: Models) -> Section:
    """Returns the section of docs/quality.md."""
    intent = Intent(threshold=INTENT_THRESHOLD)
    rows = [_row(part, await outcomes(models, part, intent)) for part in ("dev", "test")]
    head = ("part", "right", "call expected", "clarification expected", "no target expected")
    return Section("dialogue", "Parameter dialogues", f"{_TEXT}\n\n{table(head, rows)}")


_TEXT: Final = """\
`evaluation/dialogues.yaml`: 68 dialogues over six targets. 48 were written before the rules: 16 for dev and the 32 of
test. 20 more were added to dev after a first measurement (13 of 16 and 18 of 32 then). Dev was looked at later; of test
only the number of right decisions. Each ends with an answer to a clarification: one or several values, a correction,
another target, or something that is no answer. The history is scripted, and has the form that a client sends which
drops `model` and `metadata`. The values of its first prompt must be found too; most errors are there. A decision is
right if it is exactly the call with the values that matter, the question for exactly the missing ones, or no target."""

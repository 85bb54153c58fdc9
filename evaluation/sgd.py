"""Dialogues of SGD with slots, from the folder `shared/data` beside the repository. Used by slots.py."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

from extproc.conversation.messages import Message
from extproc.shared.filter_config import EndpointCall, HttpMethod, Parameter, ParameterType, Target

FILE: Final = Path(__file__).parents[2] / "shared" / "data" / "train" / "dialogue_sgd.jsonl.gz"
_TYPES: Final[Mapping[str, ParameterType]] = {
    "string": ParameterType.STR,
    "integer": ParameterType.INT,
    "number": ParameterType.FLOAT,
    "boolean": ParameterType.BOOL,
}
_CALL: Final = EndpointCall(endpoint="sgd", upstream="sgd", method=HttpMethod.POST, path="/")


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn: the conversation so far, and the decision that it must lead to.

    `call` is the target with its arguments, `ask` the target with its missing parameters; both None: no target.
    `said`: the forms in which the conversation has an argument.
    """

    messages: tuple[Message, ...]
    targets: tuple[Target, ...]
    today: date
    call: tuple[str, Mapping[str, Any]] | None = None
    ask: tuple[str, frozenset[str]] | None = None
    said: Mapping[str, tuple[str, ...]] | None = None


def dialogues(split: str) -> list[list[Turn]]:
    """Returns the dialogues of a split ("train", "test") of which at least two turns are labelled, in their order.

    SGD's services of the split "test" are not in the split "train". A dialogue is the set of turns that continue one
    another, with one of the paraphrases of the services' descriptions.
    """
    with gzip.open(FILE, "rt") as lines:
        rows = [row for row in map(json.loads, lines) if row["split"] == split]
    groups: list[list[Turn]] = []
    by_history: dict[tuple[object, ...], list[Turn]] = {}
    for row in sorted(rows, key=lambda row: len(row["messages"])):
        history = (row["variant"], *(message["content"] for message in row["messages"]))
        group = next(
            (by_history[history[:end]] for end in range(len(history), 1, -1) if history[:end] in by_history), None
        )
        if group is None:
            group = []
            groups.append(group)
        group.append(_turn(row))
        by_history[history] = group
    return [group for group in groups if len(group) > 1]


def _turn(row: Mapping[str, Any]) -> Turn:
    expected = row["expected"]
    call = ask = None
    said: Mapping[str, Sequence[str]] = {}
    if expected != "none" and "call" in expected:
        call = (expected["call"]["name"], expected["call"]["arguments"])
        said = expected["as_said"]
    elif expected != "none":
        ask = (expected["for"], frozenset(expected["ask"]))
    return Turn(
        messages=tuple(row["messages"]),
        targets=tuple(_target(tool) for tool in row["tools"]),
        today=date.fromisoformat(row["today"]),
        call=call,
        ask=ask,
        said={name: tuple(forms) for name, forms in said.items()},
    )


def _target(tool: Mapping[str, Any]) -> Target:
    declared = tool["parameters"]
    return Target(
        name=tool["name"],
        description=tool["description"],
        call=_CALL,
        parameters=tuple(
            Parameter(
                name=name,
                type=_TYPES[of["type"]],
                description=of.get("description", ""),
                required=name in declared["required"],
                enum=tuple(of.get("enum", ())),
                default_json=json.dumps(of["default"]) if "default" in of else None,
            )
            for name, of in declared["properties"].items()
        ),
    )

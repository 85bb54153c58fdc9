"""The section `slots`: the decision on every turn of dialogues whose questions a human worded.

Data: SGD (sgd.py), services of its test split, on which nothing was chosen. Skipped if the folder of the data is
absent.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from controlplane.compile.prompting import GROUNDING_THRESHOLD, INTENT_THRESHOLD
from evaluation import sgd
from evaluation.report import Section, table
from evaluation.sgd import Turn
from extproc.conversation import current_turn
from extproc.inference.interface import Models, RoleUnavailable
from extproc.pipeline.functions.grounding import ParsedText
from extproc.pipeline.functions.tool_selection import Clarification, TargetCalls, ToolSelection
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Grounding, Intent, JsonValue, Prompting

_SAMPLE: Final = 60
_ARTICLES: Final = re.compile(r"\b(?:the|a|an|at|in|on|for)\b")


@dataclass(frozen=True, slots=True)
class Result:
    """The judgement of one turn. `sent`, `unsaid`: arguments of a call, and those of them that nobody said."""

    expected: str
    right: bool
    right_target: bool
    sent: int = 0
    unsaid: int = 0


def sample(split: str, count: int = _SAMPLE) -> list[list[Turn]]:
    """Returns some dialogues of a split, always the same ones."""
    return random.Random(1).sample(sgd.dialogues(split), count)  # noqa: S311 - a reproducible sample, no secret


async def decide(models: Models, turn: Turn) -> ToolSelection | None:
    """Returns the gateway's decision on a turn, None if a model fails."""
    index = TargetIndex(models, turn.targets)
    await index.build()
    prompting = Prompting(
        intent=Intent(threshold=INTENT_THRESHOLD),
        grounding=Grounding(threshold=GROUNDING_THRESHOLD),
        targets=turn.targets,
    )
    resolver = IntentResolver(models, index, prompting, today=lambda: turn.today)
    current = current_turn.read(turn.messages, turn.targets)
    try:
        return await resolver.resolve(current, await resolver.find_candidates(current))
    except RoleUnavailable:
        return None


def judge(turn: Turn, decision: ToolSelection | None) -> Result:
    """Compares a decision with the one expected."""
    expected = "call" if turn.call else "ask" if turn.ask else "none"
    meant = (turn.call or turn.ask or (None,))[0]
    match decision:
        case TargetCalls(calls):
            right = len(calls) == 1 and turn.call is not None and _right_call(turn, calls[0].arguments)
            names = {call.target.name for call in calls}
            values = [value for call in calls for value in _given(turn, call.target.name, call.arguments).values()]
            unsaid = sum(not _is_said(turn, value) for value in values)
            return Result(expected, right and names == {meant}, names == {meant}, len(values), unsaid)
        case Clarification(target, missing):
            right = turn.ask is not None and frozenset(missing) == turn.ask[1]
            return Result(expected, right and target.name == meant, target.name == meant)
    return Result(expected, decision is not None and meant is None, meant is None)


def _right_call(turn: Turn, arguments: Mapping[str, JsonValue]) -> bool:
    """Returns whether all values that the conversation has are right, and no others are sent but defaults."""
    name, wanted = turn.call or ("", {})
    said = turn.said or {}
    given = _given(turn, name, arguments)
    return set(given) <= set(wanted) and all(
        _same(arguments[key], value, said.get(key, ()), turn) if key in arguments else key not in said
        for key, value in wanted.items()
    )


def _given(turn: Turn, target: str, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Returns the arguments that are not the defaults of their parameters."""
    declared = next(each.parameters for each in turn.targets if each.name == target)
    defaults = {each.name: json.loads(each.default_json) for each in declared if each.default_json is not None}
    return {name: value for name, value in arguments.items() if name not in defaults or defaults[name] != value}


def _same(given: JsonValue, value: Any, forms: Sequence[str], turn: Turn) -> bool:
    """Compares with the value that SGD notes and with the words of the conversation."""
    plain = _plain(given)
    if plain in {_plain(value), *map(_plain, forms)}:
        return True
    text = ParsedText(str(given), turn.today)
    if re.fullmatch(r"\d{4}-\d\d-\d\d", str(value)):
        return [day.isoformat() for day in text.days.days] == [value]
    if re.fullmatch(r"\d\d:\d\d", str(value)):
        return str(value) in {f"{minutes // 60:02d}:{minutes % 60:02d}" for minutes in text.times}
    return False


def _is_said(turn: Turn, value: JsonValue) -> bool:
    conversation = _plain(" ".join(str(message["content"]) for message in turn.messages))
    wanted = {} if turn.call is None else turn.call[1]
    is_wanted = any(_same(value, each, (turn.said or {}).get(name, ()), turn) for name, each in wanted.items())
    return is_wanted or isinstance(value, bool) or _plain(value) in conversation


def _plain(value: object) -> str:
    return " ".join(_ARTICLES.sub(" ", re.sub(r"[^\w: ]", " ", str(value).casefold())).split())


def lines(dialogues: Sequence[Sequence[Result]]) -> list[list[object]]:
    """Returns the rows of the table."""
    turns = [result for dialogue in dialogues for result in dialogue]
    rows: list[list[object]] = []
    for kind in ("call", "ask", "none", "all turns"):
        of = [each for each in turns if kind in {each.expected, "all turns"}]
        rows.append([kind, len(of), _share(of, "right"), _share(of, "right_target")])
    whole = sum(all(each.right for each in dialogue) for dialogue in dialogues) / len(dialogues)
    return [*rows, ["whole dialogues", len(dialogues), whole, "-"]]


def _share(results: Sequence[Result], field: str) -> float:
    return float(sum(getattr(each, field) for each in results)) / max(1, len(results))


async def measure(models: Models) -> Section:
    """Returns the section of docs/quality.md."""
    title = "Slots of dialogues"
    if not sgd.FILE.exists():
        return Section("slots", title, f"Not measured: {sgd.FILE.name} is not in the folder shared/data.")
    dialogues = [[judge(turn, await decide(models, turn)) for turn in each] for each in sample("test")]
    turns = [result for dialogue in dialogues for result in dialogue]
    sent = sum(each.sent for each in turns)
    unsaid = f"Of {sent} values in calls, {sum(each.unsaid for each in turns)} were said by nobody."
    head = ("expected", "n", "right", "right target")
    return Section("slots", title, f"{_TEXT}\n\n{table(head, lines(dialogues))}\n\n{unsaid}")


_TEXT: Final = f"""\
SGD (CC-BY-SA-4.0, `shared/data`), {_SAMPLE} dialogues of its test split with two or more labelled turns, drawn at
random. Their services are not in the split on which rules were developed. 2 to 15 targets each; the history has the
words of a human agent, as a client has that comes from another gateway, and long dialogues begin in the middle. A turn
is right if the decision is exactly the call with all values that were said and no others (defaults aside), the question
for exactly the missing values, or no target. A dialogue is right if all its labelled turns are."""

"""The section `grounding`: values that a prompt supports against values that it does not, from BFCL and by hand.

Supported are BFCL's right arguments. Unsupported are: for a number, the number with two digits exchanged, one more, one
less or ten times as much; for a boolean, its opposite; for an enum, another member; for text and lists, a right value
of another prompt, of a parameter of the same name if there is one. A value that occurs in the prompt, or is right for
another parameter, is drawn again: grounding does not judge whether a value has the right name.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import yaml

from evaluation import bfcl
from evaluation.report import Section, table
from evaluation.roc import auc
from extproc.inference.interface import Models
from extproc.pipeline.functions.grounding import ParsedText, support_score
from extproc.pipeline.functions.grounding.supported_arguments import argument_scores
from extproc.shared.filter_config import JsonValue, Parameter, ParameterType

_CASES: Final = Path(__file__).parent / "grounding_cases.yaml"
# The gateway's default.
THRESHOLD: Final = 0.5
_CONCURRENCY: Final = 4
_DRAWS: Final = 8


@dataclass(frozen=True, slots=True)
class Case:
    """A value, and whether the text `prompt` supports it."""

    prompt: str
    parameter: Parameter
    value: JsonValue
    supported: bool


@dataclass(frozen=True, slots=True)
class ScoredCase:
    """`matched`: the score of matching alone. `score`: with embeddings when matching finds nothing."""

    case: Case
    matched: float
    score: float


def written(part: str) -> tuple[list[Case], date]:
    """Returns the part "dev" or "test" of the hand-written set, and the date that it assumes."""
    document = yaml.safe_load(_CASES.read_text())
    cases = [Case(row["prompt"], _declared(row["parameter"]), row["value"], row["supported"]) for row in document[part]]
    return cases, document["today"]


def _declared(row: Mapping[str, Any]) -> Parameter:
    return Parameter(
        name=row["name"],
        type=ParameterType(row["type"]),
        description=row["description"],
        enum=tuple(row.get("enum", ())),
        format=row.get("format"),
    )


def of_bfcl(categories: Sequence[str]) -> tuple[list[Case], list[Case]]:
    """Returns (dev, test): each argument with its right value and a wrong one, alternately dev and test."""
    both = [pair for category in categories for pair in _right(category)]
    right = [case for case, _ in both]
    parts: tuple[list[Case], list[Case]] = [], []
    draw = random.Random(1)  # noqa: S311 - a reproducible sample, no secret
    by_name: dict[str, list[JsonValue]] = defaultdict(list)
    by_type: dict[ParameterType, list[JsonValue]] = defaultdict(list)
    of_prompt: dict[str, list[str]] = defaultdict(list)
    for case, accepted in both:
        of_prompt[case.prompt] += map(_key, accepted)
        by_name[case.parameter.name].append(case.value)
        by_type[case.parameter.type].append(case.value)
    for index, case in enumerate(right):
        pools = by_name[case.parameter.name], by_type[case.parameter.type]
        parts[index % 2].append(case)
        for _ in range(_DRAWS):
            value = _wrong(case, pools, draw)
            if value is not None and _key(value) not in of_prompt[case.prompt] and not _stands_in(value, case.prompt):
                parts[index % 2].append(Case(case.prompt, case.parameter, value, supported=False))
                break
    return parts


def _right(category: str) -> list[tuple[Case, list[JsonValue]]]:
    """Returns the required arguments of the right calls: a case with the first accepted value, and all of them."""
    cases = []
    for row in bfcl.rows(category):
        (name, given), *_ = [(name, given) for answer in row.answers or () for name, given in answer.items()]
        prompt = "\n".join(message["content"] for message in row.messages if message["role"] == "user")
        for target in row.targets:
            if target.name != name:
                continue
            for parameter in target.parameters:
                accepted = given.get(parameter.name)
                # An empty string marks an optional argument, which the prompt need not support.
                if accepted and "" not in accepted:
                    undefaulted = msgspec.structs.replace(parameter, default_json=None)
                    case = Case(prompt, undefaulted, _first(accepted[0]), supported=True)
                    cases.append((case, [_first(each) for each in accepted]))
    return cases


def _first(value: Any) -> Any:
    """Returns a value with the first of BFCL's accepted values for each key of an object."""
    if isinstance(value, dict):
        return {
            key: _first(of[0]) if isinstance(of, list) and of else of
            for key, of in value.items()
            if not (isinstance(of, list) and "" in of)
        }
    return [_first(each) for each in value] if isinstance(value, list) else value


def _key(value: JsonValue) -> str:
    return json.dumps(value).casefold()


def _stands_in(value: JsonValue, prompt: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return False
    plain = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return re.search(rf"(?<!\w){re.escape(plain.casefold())}s?(?!\w)", prompt.casefold()) is not None


def _wrong(case: Case, pools: Sequence[Sequence[JsonValue]], draw: random.Random) -> JsonValue:
    """Returns a wrong value of the same type that looks right, None when there is none."""
    value = case.value
    if isinstance(value, bool):
        return not value
    if case.parameter.enum and value in case.parameter.enum:
        others = [member for member in case.parameter.enum if member != value]
        return draw.choice(others) if others else None
    if isinstance(value, int | float):
        return _miscopied(value, draw)
    for pool in pools:
        others_said = [other for other in pool if type(other) is type(value) and _key(other) != _key(value)]
        if others_said:
            return draw.choice(others_said)
    return None


def _miscopied(value: float, draw: random.Random) -> float:
    if not float(value).is_integer():
        return round(value * draw.choice([10, 1.1, 0.5]), 4)
    digits = str(abs(int(value)))
    changed = [int(value) + 1, int(value) - 1, int(value) * 10]
    if len(digits) > 1:
        changed.append((-1 if value < 0 else 1) * int(digits[1] + digits[0] + digits[2:]))
    return draw.choice([each for each in changed if each != value])


async def score_cases(models: Models, cases: Sequence[Case], today: date) -> list[ScoredCase]:
    """Scores each case as the gateway does."""
    semaphore = asyncio.Semaphore(_CONCURRENCY)

    async def one(case: Case) -> ScoredCase:
        text = ParsedText(case.prompt, today)
        matched = support_score(case.parameter, case.value, text)
        async with semaphore:
            found = await argument_scores(models, THRESHOLD, [case.parameter], {case.parameter.name: case.value}, text)
        return ScoredCase(case, matched, found[case.parameter.name])

    return list(await asyncio.gather(*map(one, cases)))


def _row(name: str, rows: Sequence[ScoredCase], *, embeddings: bool) -> list[object]:
    values = [(row.case.supported, row.score if embeddings else row.matched) for row in rows]
    yes = [score for supported, score in values if supported]
    no = [score for supported, score in values if not supported]
    kept, passed = np.mean(np.array(yes) >= THRESHOLD), np.mean(np.array(no) >= THRESHOLD)
    accuracy = np.mean([(score >= THRESHOLD) is supported for supported, score in values])
    how = "matching, then embeddings" if embeddings else "matching alone"
    return [name, how, f"{len(yes)} / {len(no)}", auc(yes, no), float(accuracy), float(kept), float(passed)]


_HEAD: Final = ("values", "how", "supported / not", "AUC", "accuracy", "supported ones kept", "others accepted")


async def measure(models: Models) -> Section:
    """Returns the section of docs/quality.md."""
    rows: list[list[object]] = []
    dev, test = of_bfcl(("simple_python", "multiple"))
    _, live = of_bfcl(("live_simple",))
    today = date(2026, 11, 22)
    thresholds = _thresholds(await score_cases(models, dev, today))
    for name, cases in (("BFCL simple and multiple, test half", test), ("BFCL live_simple, test half", live)):
        found = await score_cases(models, cases, today)
        rows += [_row(name, found, embeddings=False), _row(name, found, embeddings=True)]
    for part in ("dev", "test"):
        cases, day = written(part)
        found = await score_cases(models, cases, day)
        name = f"written set, {part}"
        rows += [_row(name, found, embeddings=False), _row(name, found, embeddings=True)]
    return Section(
        "grounding", "Grounding", f"{_TEXT}\n\n{table(_HEAD, rows)}\n\n{_CURVE}\n\n{thresholds}\n\n{_LIMITS}"
    )


def _thresholds(dev: Sequence[ScoredCase]) -> str:
    lines = []
    for threshold in (0.1, 0.3, 0.5, 0.7, 0.9):
        kept = [row.score >= threshold for row in dev if row.case.supported]
        passed = [row.score >= threshold for row in dev if not row.case.supported]
        lines.append([f"{threshold:.1f}", float(np.mean(kept)), float(np.mean(passed))])
    return table(("threshold, on the dev half", "supported ones kept", "others accepted"), lines)


_TEXT: Final = """\
*BFCL*: each required argument of a right call is a supported value. For each there is a wrong value: a number with two
digits exchanged, one more, one less or tenfold; the opposite truth value; another member of the enum; for text and
lists a right value of another prompt, of a parameter of the same name if there is one. A wrong value that the prompt
contains, or that is right for another parameter, is drawn again: only the function model can know which of two cities
is the destination. Every second argument is in the dev half, on which the matching was developed. live_simple has
prompts of users; the enums and free texts of its dev half were looked at. Many of its right values are not in the
prompt (a user's id from a system prompt, a country for its capital). *Written set*:
`evaluation/grounding_cases.yaml`, 100 values in other words and 100 slightly wrong ones, written before the matching by
the same author. Its dev part of 60 was looked at later, its test part of 140 was not."""

_CURVE: Final = "Matching gives 0 or 1 for most values, so the threshold matters little. The default is 0.5."

_LIMITS: Final = """\
Right values that are rejected: values that must be known or computed (a king is 4 cards of 52; Apple is AAPL; the year
of a war). Wrong values that are accepted: values that the prompt contains with another meaning."""

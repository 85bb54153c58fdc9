"""Arguments as the text says them, where Needle copied them badly. Pure; used by caller.py.

Each rule follows from the schema and the text alone, and changes a value only where the text shows what it should be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from triton_models.function.evidence import Evidence
from triton_models.function.number_spans import Number

_ISO_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
# "MM-DD-YYYY" and its like, as descriptions and formats spell them.
_DATE_PATTERN = re.compile(r"\b(?:(?:YYYY|MM|DD)[-/.]){2}(?:YYYY|MM|DD)\b", re.IGNORECASE)
_PERCENT = re.compile(r"percent|%", re.IGNORECASE)
# What is a share of one, unless its description speaks of percent.
_SHARE = re.compile(r"rate|yield|return|interest|ratio|probability|fraction|decimal|share|proportion", re.IGNORECASE)
# An example that settles it, whatever else the description says of percent: "0.05 for 5%".
_FRACTION = re.compile(r"\b0?\.\d|decimal|fraction", re.IGNORECASE)
_COUNT = re.compile(r"\b(?:number of|how many|count|limit|quantity|amount of)\b", re.IGNORECASE)
_NEGATION = re.compile(r"\b(?:no|not|non|without|never|don't|exclude|excluding|skip|except)\b[\s-]*(?:\w+\s){0,2}$")
_MAX_LOST = 3


def repaired(arguments: Mapping[str, Any], schema: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """`arguments` of one call. `schema`: its parameters as a JSON Schema object."""
    properties = schema.get("properties") or {}
    kept = _without_repeats(dict(arguments), schema, evidence)
    for name, value in kept.items():
        declared = properties.get(name)
        if isinstance(declared, Mapping):
            for rule in _RULES:
                value = rule(value, name, declared, evidence)  # noqa: PLW2901 - each rule reads what the last one made
            kept[name] = value
    return _with_count(_with_switches(kept, properties, evidence), properties, evidence)


def _as_share(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """8 % is .08 for a rate, and 8 for a number of percent."""
    if declared.get("type") != "number" or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    said = [number.value for number in evidence.numbers if number.percent]
    about = f"{name.replace('_', ' ')} {declared.get('description') or ''}"
    if _PERCENT.search(about) and not _FRACTION.search(about):
        return next((number for number in said if _near(number / 100, value) and not _near(number, value)), value)
    if _SHARE.search(about) and any(_near(number, value) for number in said):
        return round(value / 100, 12)
    return value


def _as_written(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """The whole word or code of which Needle copied a part: "s6034464" is "rs6034464"."""
    if isinstance(value, list):
        return [_as_written(each, name, {}, evidence) for each in value]
    if not isinstance(value, str) or len(value) < 4 or declared.get("enum") or evidence.says(value):
        return value
    words = {match[0] for match in re.finditer(rf"[\w.-]*{re.escape(value)}[\w.-]*", evidence.text)}
    whole = [word.strip(".-") for word in words]
    return whole[0] if len(whole) == 1 and 0 < len(whole[0]) - len(value) <= _MAX_LOST else value


def _bare(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Without the article, and without the noun that the parameter is named after: "renewable energy" is the energy
    type "renewable". Capitals are names: "New York City", "The Hague".
    """
    if not isinstance(value, str) or declared.get("enum"):
        return value
    words = re.sub(r"^(?:the|an?)\s+(?=\w)", "", value).split(" ")
    named = {word.casefold().rstrip("s") for word in re.findall(r"[A-Z]?[a-z]+", name)}
    while len(words) == 2 and words[-1].islower() and words[-1].rstrip("s") in named:
        words.pop()
    return " ".join(words)


def _whole_number(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """The number of which Needle copied the digits before the point or lost the sign: 5 of 5.6, 3 of -3."""
    if not _is_number(value) or evidence.says(value):
        return value
    said = {number.value for number in evidence.numbers if number.value == -value or _begins(value, number.value)}
    kind = declared.get("type")
    fit = [each for each in said if kind == "number" or (kind == "integer" and each.is_integer())]
    if len(said) != 1 or not fit:
        return value
    return int(fit[0]) if kind == "integer" else fit[0]


def _begins(value: float, number: float) -> bool:
    return not float(number).is_integer() and f"{number:g}".startswith(f"{value:g}.")


def _whole_list(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """All numbers of the list of which Needle copied some."""
    if not isinstance(value, list) or len(value) < 2 or not all(_is_number(each) for each in value):
        return value
    runs = [run for run in _runs(evidence) if {float(each) for each in value} <= {number.value for number in run}]
    if len(runs) != 1 or [number.value for number in runs[0]] == [float(each) for each in value]:
        return value
    whole = all(isinstance(each, int) or each.is_integer() for each in value) and all(isinstance(e, int) for e in value)
    return [int(n.value) if whole and n.value.is_integer() else n.value for n in runs[0]]


def _choices(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Of the words that may be chosen those that the text says, where it says any; each once."""
    if not isinstance(value, list):
        choices = [each for each in declared.get("enum") or [] if isinstance(each, str)]
        said = [each for each in choices if evidence.says(each)]
        return said[0] if len(said) == 1 and isinstance(value, str) and not evidence.says(value) else value
    unique = [each for index, each in enumerate(value) if each not in value[:index] or not isinstance(each, str)]
    items = declared.get("items") or {}
    choices = [each for each in items.get("enum") or declared.get("enum") or [] if isinstance(each, str)]
    said = [each for each in choices if evidence.says(each)]
    if not said:
        return unique
    kept = [each for each in unique if each not in choices or evidence.hints(each)]
    return kept + [each for each in said if each not in kept]


def _runs(evidence: Evidence) -> list[list[Number]]:
    """Numbers parted by commas alone, as in [3, 4, 5] or $100, $40, $60."""
    runs: list[list[Number]] = []
    for number in evidence.numbers:
        between = evidence.text[runs[-1][-1].end : number.start] if runs else "x"
        if re.fullmatch(r"\s*,?\s*(?:and\s+)?[$€£]?", between) and between.strip(" $€£"):
            runs[-1].append(number)
        else:
            runs.append([number])
    return [run for run in runs if len(run) > 2]


def _as_pattern(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """A date in the pattern that the description or the format names."""
    pattern = _DATE_PATTERN.search(f"{declared.get('format') or ''} {declared.get('description') or ''}")
    if not pattern or not isinstance(value, str) or not (match := _ISO_DATE.fullmatch(value)):
        return value
    year, month, day = match.groups()
    spelled = pattern[0].upper().replace("YYYY", year).replace("MM", f"{int(month):02}")
    return spelled.replace("DD", f"{int(day):02}")


_RULES: tuple[Callable[[Any, str, Mapping[str, Any], Evidence], Any], ...] = (
    _as_share,
    _as_written,
    _bare,
    _whole_number,
    _whole_list,
    _choices,
    _as_pattern,
)


def _without_repeats(arguments: dict[str, Any], schema: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Less the optional numbers that repeat another argument's, where the text says that number once."""
    required = schema.get("required") or []
    given = [float(value) for value in arguments.values() if _is_number(value)]
    said = [number.value for number in evidence.numbers]
    repeated = {value for value in given if given.count(value) > 1 and said.count(value) == 1}
    return {
        name: value
        for name, value in arguments.items()
        if name in required or not _is_number(value) or float(value) not in repeated
    }


def _with_switches(arguments: dict[str, Any], properties: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Booleans whose very name the text says, and does not deny, are true."""
    for name, declared in properties.items():
        if declared.get("type") == "boolean" and arguments.get(name) is not True:
            spoken = re.sub(r"^(?:is|has|include|with|show|get)_", "", name).replace("_", " ")
            found = re.search(rf"\b{re.escape(spoken)}\b", evidence.text, re.IGNORECASE)
            if found and not _NEGATION.search(evidence.text[: found.start()].casefold()):
                arguments[name] = True
    return arguments


def _with_count(arguments: dict[str, Any], properties: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """The number that no argument took is the count that is still open, where there is one of each."""
    given = {float(value) for value in arguments.values() if _is_number(value)}
    texts = " ".join(str(value) for value in arguments.values() if not _is_number(value))
    left = [
        n for n in evidence.numbers if n.value not in given and f"{n.value:g}" not in texts and n.value.is_integer()
    ]
    open_counts = [
        name
        for name, declared in properties.items()
        if name not in arguments
        and declared.get("type") == "integer"
        and _COUNT.search(f"{name.replace('_', ' ')} {declared.get('description') or ''}")
    ]
    if len(left) == 1 and len(open_counts) == 1 and 0 < left[0].value <= 1000 and not left[0].percent:
        return {**arguments, open_counts[0]: int(left[0].value)}
    return arguments


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

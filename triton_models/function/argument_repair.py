"""Corrects arguments that Needle copied badly from the text. Pure; used by needle_caller.py.

Each rule uses the schema and the text alone, and changes a value only if the text shows the right one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from triton_models.function.evidence import Evidence, is_number
from triton_models.function.number_spans import NumberSpan

_ISO_DATE = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
# "MM-DD-YYYY" and similar patterns in descriptions and formats.
_DATE_PATTERN = re.compile(r"\b(?:(?:YYYY|MM|DD)[-/.]){2}(?:YYYY|MM|DD)\b", re.IGNORECASE)
_PERCENT = re.compile(r"percent|%", re.IGNORECASE)
# Names of parameters that are fractions of 1 (8 % is .08), unless the description mentions percent.
_SHARE = re.compile(r"rate|yield|return|interest|ratio|probability|fraction|decimal|share|proportion", re.IGNORECASE)
# An example of a fraction in the description decides, even if it mentions percent: "0.05 for 5%".
_FRACTION = re.compile(r"\b0?\.\d|decimal|fraction", re.IGNORECASE)
_COUNT = re.compile(r"\b(?:number of|how many|count|limit|quantity|amount of)\b", re.IGNORECASE)
_NEGATION = re.compile(r"\b(?:no|not|non|without|never|don't|exclude|excluding|skip|except)\b[\s-]*(?:\w+\s){0,2}$")
# Maximum number of characters of a word that Needle may have left out.
_MAX_LOST = 3


def repair_arguments(arguments: Mapping[str, Any], schema: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Returns the corrected arguments of one call. `schema`: its parameters as a JSON Schema object."""
    properties = schema.get("properties") or {}
    repaired = _without_repeated_numbers(dict(arguments), schema, evidence)
    for name, value in repaired.items():
        declared = properties.get(name)
        if isinstance(declared, Mapping):
            for rule in _RULES:
                value = rule(value, name, declared, evidence)  # noqa: PLW2901 - a chain of rules
            repaired[name] = value
    return _with_count(_with_named_booleans(repaired, properties, evidence), properties, evidence)


def _percent_or_share(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Converts 8% to .08 for a rate, and .08 to 8 for a number of percent."""
    if declared.get("type") != "number" or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    stated = [number.value for number in evidence.numbers if number.is_percent]
    about = f"{name.replace('_', ' ')} {declared.get('description') or ''}"
    if _PERCENT.search(about) and not _FRACTION.search(about):
        return next((number for number in stated if _near(number / 100, value) and not _near(number, value)), value)
    if _SHARE.search(about) and any(_near(number, value) for number in stated):
        return round(value / 100, 12)
    return value


def _complete_word(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Completes a word or code of which Needle copied a part: "s6034464" -> "rs6034464"."""
    if isinstance(value, list):
        return [_complete_word(each, name, {}, evidence) for each in value]
    if not isinstance(value, str) or len(value) < 4 or declared.get("enum") or evidence.contains(value):
        return value
    words = {match[0] for match in re.finditer(rf"[\w.-]*{re.escape(value)}[\w.-]*", evidence.text)}
    whole = [word.strip(".-") for word in words]
    return whole[0] if len(whole) == 1 and 0 < len(whole[0]) - len(value) <= _MAX_LOST else value


def _without_article_or_noun(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Removes the article and the noun of the parameter's name: "renewable energy" -> "renewable" for the energy type.

    Capitalised words stay, they are names: "New York City", "The Hague".
    """
    if not isinstance(value, str) or declared.get("enum"):
        return value
    words = re.sub(r"^(?:the|an?)\s+(?=\w)", "", value).split(" ")
    name_words = {word.casefold().rstrip("s") for word in re.findall(r"[A-Z]?[a-z]+", name)}
    while len(words) == 2 and words[-1].islower() and words[-1].rstrip("s") in name_words:
        words.pop()
    return " ".join(words)


def _complete_number(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Completes a number without its decimals or sign: 5 -> 5.6, 3 -> -3."""
    if not is_number(value) or evidence.contains(value):
        return value
    stated = {number.value for number in evidence.numbers if number.value == -value or _begins(value, number.value)}
    kind = declared.get("type")
    fitting = [each for each in stated if kind == "number" or (kind == "integer" and each.is_integer())]
    if len(stated) != 1 or not fitting:
        return value
    return int(fitting[0]) if kind == "integer" else fitting[0]


def _begins(value: float, number: float) -> bool:
    return not float(number).is_integer() and f"{number:g}".startswith(f"{value:g}.")


def _complete_list(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Completes a list of numbers of which Needle copied some."""
    if not isinstance(value, list) or len(value) < 2 or not all(is_number(each) for each in value):
        return value
    lists = [
        run for run in _comma_lists(evidence) if {float(each) for each in value} <= {number.value for number in run}
    ]
    if len(lists) != 1 or [number.value for number in lists[0]] == [float(each) for each in value]:
        return value
    whole = all(isinstance(each, int) or each.is_integer() for each in value) and all(isinstance(e, int) for e in value)
    return [int(n.value) if whole and n.value.is_integer() else n.value for n in lists[0]]


def _enum_values(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Corrects enum values: keeps and adds the members in the text, if it contains any, without duplicates."""
    if not isinstance(value, list):
        members = [each for each in declared.get("enum") or [] if isinstance(each, str)]
        stated = [each for each in members if evidence.contains(each)]
        return stated[0] if len(stated) == 1 and isinstance(value, str) and not evidence.contains(value) else value
    unique = [each for index, each in enumerate(value) if each not in value[:index] or not isinstance(each, str)]
    items = declared.get("items") or {}
    members = [each for each in items.get("enum") or declared.get("enum") or [] if isinstance(each, str)]
    stated = [each for each in members if evidence.contains(each)]
    if not stated:
        return unique
    repaired = [each for each in unique if each not in members or evidence.contains_word_of(each)]
    return repaired + [each for each in stated if each not in repaired]


def _comma_lists(evidence: Evidence) -> list[list[NumberSpan]]:
    """Returns lists of more than two numbers with only commas between them: [3, 4, 5] or $100, $40, $60."""
    lists: list[list[NumberSpan]] = []
    for number in evidence.numbers:
        between = evidence.text[lists[-1][-1].end : number.start] if lists else "x"
        if re.fullmatch(r"\s*,?\s*(?:and\s+)?[$€£]?", between) and between.strip(" $€£"):
            lists[-1].append(number)
        else:
            lists.append([number])
    return [run for run in lists if len(run) > 2]


def _in_date_pattern(value: Any, name: str, declared: Mapping[str, Any], evidence: Evidence) -> Any:
    """Converts a date to the pattern in the description or the format."""
    pattern = _DATE_PATTERN.search(f"{declared.get('format') or ''} {declared.get('description') or ''}")
    if not pattern or not isinstance(value, str) or not (match := _ISO_DATE.fullmatch(value)):
        return value
    year, month, day = match.groups()
    spelled = pattern[0].upper().replace("YYYY", year).replace("MM", f"{int(month):02}")
    return spelled.replace("DD", f"{int(day):02}")


_RULES: tuple[Callable[[Any, str, Mapping[str, Any], Evidence], Any], ...] = (
    _percent_or_share,
    _complete_word,
    _without_article_or_noun,
    _complete_number,
    _complete_list,
    _enum_values,
    _in_date_pattern,
)


def _without_repeated_numbers(
    arguments: dict[str, Any], schema: Mapping[str, Any], evidence: Evidence
) -> dict[str, Any]:
    """Removes optional numbers equal to another argument's if the text contains that number once."""
    required = schema.get("required") or []
    given = [float(value) for value in arguments.values() if is_number(value)]
    stated = [number.value for number in evidence.numbers]
    repeated = {value for value in given if given.count(value) > 1 and stated.count(value) == 1}
    return {
        name: value
        for name, value in arguments.items()
        if name in required or not is_number(value) or float(value) not in repeated
    }


def _with_named_booleans(
    arguments: dict[str, Any], properties: Mapping[str, Any], evidence: Evidence
) -> dict[str, Any]:
    """Sets a boolean to true if the text contains its name without a negation."""
    for name, declared in properties.items():
        if declared.get("type") == "boolean" and arguments.get(name) is not True:
            name_text = re.sub(r"^(?:is|has|include|with|show|get)_", "", name).replace("_", " ")
            found = re.search(rf"\b{re.escape(name_text)}\b", evidence.text, re.IGNORECASE)
            if found and not _NEGATION.search(evidence.text[: found.start()].casefold()):
                arguments[name] = True
    return arguments


def _with_count(arguments: dict[str, Any], properties: Mapping[str, Any], evidence: Evidence) -> dict[str, Any]:
    """Sets the only missing count to the only unused number."""
    given = {float(value) for value in arguments.values() if is_number(value)}
    texts = " ".join(str(value) for value in arguments.values() if not is_number(value))
    unused = [
        n for n in evidence.numbers if n.value not in given and f"{n.value:g}" not in texts and n.value.is_integer()
    ]
    open_counts = [
        name
        for name, declared in properties.items()
        if name not in arguments
        and declared.get("type") == "integer"
        and _COUNT.search(f"{name.replace('_', ' ')} {declared.get('description') or ''}")
    ]
    if len(unused) == 1 and len(open_counts) == 1 and 0 < unused[0].value <= 1000 and not unused[0].is_percent:
        return {**arguments, open_counts[0]: int(unused[0].value)}
    return arguments


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b))

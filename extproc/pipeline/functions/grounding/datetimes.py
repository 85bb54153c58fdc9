"""Values that a text holds for a parameter in one way only: relative dates in ISO form, and what a model overlooked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from extproc.pipeline.functions.grounding import locale_names
from extproc.pipeline.functions.grounding.booleans import truth
from extproc.pipeline.functions.grounding.enums import named
from extproc.pipeline.functions.grounding.scoring import Said, values_in
from extproc.pipeline.functions.grounding.word_forms import name_words, words
from extproc.shared.filter_config import JsonValue, Parameter, ParameterType, Target

_FORMATS: Final = frozenset({"date", "time", "date-time"})


def in_format(target: Target, arguments: Mapping[str, JsonValue], today: date) -> dict[str, JsonValue]:
    """Dates and times as declared: "tomorrow" is a date, "9am" a time. What may be read in two ways stays as it is."""
    declared = {parameter.name: parameter for parameter in target.parameters}
    return {
        name: (moment(declared[name], Said(value, today)) or value)
        if isinstance(value, str) and name in declared and declared[name].format in _FORMATS
        else value
        for name, value in arguments.items()
    }


def moment(parameter: Parameter, said: Said) -> str | None:
    """The one date, time of day or both that a text says, in ISO form."""
    days = [day.isoformat() for day in said.days.days]
    times = [f"{minutes // 60:02d}:{minutes % 60:02d}:00" for minutes in said.times]
    match parameter.format:
        case "date" if len(days) == 1:
            return days[0]
        case "time" if len(times) == 1:
            return times[0].removesuffix(":00")
        case "date-time" if len(days) == 1 and len(times) == 1:
            return f"{days[0]}T{times[0]}"
    return None


def overlooked(target: Target, arguments: Mapping[str, JsonValue], said: Said) -> dict[str, JsonValue]:
    """Values for required parameters without one, where the text says one value that only this parameter can mean."""
    missing = [each for each in target.parameters if each.required and each.name not in arguments]
    found: dict[str, JsonValue] = _from_to(missing, arguments, said)
    missing = [each for each in missing if each.name not in found]
    for parameter in missing:
        same = [each for each in missing if (each.type, each.format, each.enum) == _kind(parameter)]
        value = _one(parameter, {**arguments, **found}, said, alone=len(same) == 1)
        if value is not None:
            found[parameter.name] = value
    return found


def _kind(parameter: Parameter) -> tuple[ParameterType, str | None, tuple[str | int | float, ...]]:
    return parameter.type, parameter.format, parameter.enum


def _one(parameter: Parameter, taken: Mapping[str, JsonValue], said: Said, *, alone: bool) -> JsonValue:
    if parameter.enum:
        members = named(parameter, said.text, said.words)
        return next(each for each in parameter.enum if str(each) in members) if alone and len(members) == 1 else None
    match parameter.type:
        case ParameterType.BOOL:
            return truth(parameter, said.text)
        case ParameterType.INT | ParameterType.FLOAT:
            numbers = values_in(parameter, said, with_unit=True)
            return next(iter(numbers)) if alone and len(numbers) == 1 else None
        case ParameterType.STR if parameter.format in _FORMATS:
            return moment(parameter, said) if alone else None
        case ParameterType.STR:
            return _code(parameter, taken, said) if alone else None
    return None


def _code(parameter: Parameter, taken: Mapping[str, JsonValue], said: Said) -> str | None:
    """The one currency, country or language that was said and is no other argument's."""
    left = _left(parameter, taken, said)
    return locale_names.code(left[0]) if len(left) == 1 else None


def _left(parameter: Parameter, taken: Mapping[str, JsonValue], said: Said) -> list[locale_names.Meaning]:
    spoken_of = {*name_words(parameter.name), *(word.text for word in words(parameter.description))}
    used = {each for value in taken.values() if isinstance(value, str) for each in locale_names.meanings(value)}
    for kind, noun in (("currencies", "currency"), ("countries", "country"), ("languages", "language")):
        if noun in spoken_of:
            return [meaning for meaning in locale_names.said(said.text) if meaning[0] == kind and meaning not in used]
    return []


def _from_to(missing: Sequence[Parameter], taken: Mapping[str, JsonValue], said: Said) -> dict[str, JsonValue]:
    """ "500 yen to dollars": two of a kind, of which one stands after "to" or "into"."""
    pairs = {end: each for each in missing for end in ("from", "to") if end in name_words(each.name)}
    if len(pairs) != 2:
        return {}
    left = _left(pairs["from"], taken, said)
    text = said.text.casefold()
    after = [part for mark in (" into ", " to ", " in ") for part in text.split(mark)[1:2]]
    if len(left) != 2 or not after:
        return {}
    goals = [meaning for meaning in left if meaning in locale_names.said(after[0])]
    if len(goals) != 1:
        return {}
    (source,) = [meaning for meaning in left if meaning != goals[0]]
    return {pairs["from"].name: locale_names.code(source), pairs["to"].name: locale_names.code(goals[0])}

"""Infers required arguments that the function model overlooked. Pure.

Used by intent resolution and slot filling, after grounding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from extproc.pipeline.functions.grounding import locale_names
from extproc.pipeline.functions.grounding.booleans import spoken_boolean
from extproc.pipeline.functions.grounding.datetimes import FORMATS, iso_datetime
from extproc.pipeline.functions.grounding.enums import named_members
from extproc.pipeline.functions.grounding.parsed_text import ParsedText
from extproc.pipeline.functions.grounding.scoring import numbers_in_unit
from extproc.pipeline.functions.grounding.word_forms import identifier_words, split_words
from extproc.shared.filter_config import EnumValue, JsonValue, Parameter, ParameterType, Target


def infer_missing(target: Target, arguments: Mapping[str, JsonValue], text: ParsedText) -> dict[str, JsonValue]:
    """Returns values for missing parameters, if the text has one value that fits no other missing one.

    Of optional parameters, only those with an enum: a text that names one of its members means it.
    """
    missing = [each for each in target.parameters if (each.required or each.enum) and each.name not in arguments]
    inferred: dict[str, JsonValue] = _from_to(missing, arguments, text)
    missing = [each for each in missing if each.name not in inferred]
    for parameter in missing:
        same_kind = [each for each in missing if _kind(each) == _kind(parameter)]
        value = _only_value(parameter, {**arguments, **inferred}, text, is_only=len(same_kind) == 1)
        if value is not None:
            inferred[parameter.name] = value
    return inferred


def _kind(parameter: Parameter) -> tuple[ParameterType, str | None, tuple[EnumValue, ...]]:
    return parameter.type, parameter.format, parameter.enum


def _only_value(
    parameter: Parameter, arguments: Mapping[str, JsonValue], text: ParsedText, *, is_only: bool
) -> JsonValue:
    """Returns the only value of the text for `parameter`. `is_only`: no other missing parameter is of its kind."""
    if parameter.enum:
        members = named_members(parameter, text.text, text.words)
        return next(each for each in parameter.enum if str(each) in members) if is_only and len(members) == 1 else None
    match parameter.type:
        case ParameterType.BOOL:
            return spoken_boolean(parameter, text.text)
        case ParameterType.INT | ParameterType.FLOAT:
            numbers = numbers_in_unit(parameter, text, with_unit=True)
            return next(iter(numbers)) if is_only and len(numbers) == 1 else None
        case ParameterType.STR if parameter.format in FORMATS:
            return iso_datetime(parameter, text) if is_only else None
        case ParameterType.STR:
            return _code(parameter, arguments, text) if is_only else None
    return None


def _code(parameter: Parameter, arguments: Mapping[str, JsonValue], text: ParsedText) -> str | None:
    """Returns the code of the only currency, country or language in the text that no argument holds."""
    unused = _unused_entities(parameter, arguments, text)
    return locale_names.code(unused[0]) if len(unused) == 1 else None


def _unused_entities(
    parameter: Parameter, arguments: Mapping[str, JsonValue], text: ParsedText
) -> list[locale_names.Entity]:
    parameter_words = {*identifier_words(parameter.name), *(word.text for word in split_words(parameter.description))}
    used = {each for value in arguments.values() if isinstance(value, str) for each in locale_names.entities_of(value)}
    for kind, noun in (("currencies", "currency"), ("countries", "country"), ("languages", "language")):
        if noun in parameter_words:
            entities = locale_names.entities_in(text.text)
            return [entity for entity in entities if entity[0] == kind and entity not in used]
    return []


def _from_to(
    missing: Sequence[Parameter], arguments: Mapping[str, JsonValue], text: ParsedText
) -> dict[str, JsonValue]:
    """Fills a "from" and a "to" parameter. In "500 yen to dollars" the value after "to", "into" or "in" is the "to"."""
    pairs = {end: each for each in missing for end in ("from", "to") if end in identifier_words(each.name)}
    if len(pairs) != 2:
        return {}
    unused = _unused_entities(pairs["from"], arguments, text)
    folded = text.text.casefold()
    after = [part for mark in (" into ", " to ", " in ") for part in folded.split(mark)[1:2]]
    if len(unused) != 2 or not after:
        return {}
    goals = [entity for entity in unused if entity in locale_names.entities_in(after[0])]
    if len(goals) != 1:
        return {}
    (source,) = [entity for entity in unused if entity != goals[0]]
    return {pairs["from"].name: locale_names.code(source), pairs["to"].name: locale_names.code(goals[0])}

"""Expands calls over the lists of a text. Pure; used by needle_caller.py.

"the weather in Paris, Rome and Oslo" means three calls, but Needle often makes one. The argument whose value is an
element of the list gets the other elements in further calls.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from triton_models.function.evidence import Evidence, is_number, leaves
from triton_models.function.number_spans import NumberSpan
from triton_models.function.text_lists import contains_value, lists_with_any, number_runs, same_value

Call = tuple[str, dict[str, Any]]

_MAX_CALLS = 12


def expand_calls(calls: Sequence[Call], schemas: Mapping[str, Mapping[str, Any]], evidence: Evidence) -> list[Call]:
    """Returns `calls` plus those that the lists of the text add, none twice; only `calls` if that gives too many."""
    expanded = _split_joined_values(calls)
    for name in dict.fromkeys(name for name, _ in calls):
        properties = schemas[name].get("properties") or {}
        if _lacks_required(expanded, name, schemas[name]):
            continue
        expanded = _expand_number_groups(expanded, name, properties, evidence)
        expanded = _expand_number_series(expanded, name, evidence)
        expanded = _expand_respectively(expanded, name, properties, evidence)
        for parameter, schema in properties.items():
            if schema.get("type") in {"string", "integer", "number"}:
                expanded = _expand_over_list(expanded, name, parameter, schema, evidence)
    return expanded if len(expanded) <= _MAX_CALLS else list(calls)


def _split_joined_values(calls: Sequence[Call]) -> list[Call]:
    """Changes "Paris, Rome" to "Paris" if another call has "Rome"."""
    split_calls: list[Call] = []
    for name, arguments in calls:
        others = [given_values for called, given_values in calls if called == name and given_values is not arguments]
        kept = dict(arguments)
        for parameter, value in arguments.items():
            head, comma, tail = value.partition(", ") if isinstance(value, str) else ("", "", "")
            if comma and any(same_value(tail, given_values.get(parameter)) for given_values in others):
                kept[parameter] = head
        split_calls.append((name, kept))
    return split_calls


def _lacks_required(calls: Sequence[Call], name: str, schema: Mapping[str, Any]) -> bool:
    """Returns True if a call lacks a required value, which may be an element of the list."""
    required = schema.get("required") or []
    return any(parameter not in arguments for called, arguments in calls if called == name for parameter in required)


def _expand_over_list(
    calls: list[Call], name: str, parameter: str, schema: Mapping[str, Any], evidence: Evidence
) -> list[Call]:
    """Makes calls of `name` for every element of the list that holds the values of `parameter`."""
    own_arguments = [arguments for called, arguments in calls if called == name]
    given_values = [arguments[parameter] for arguments in own_arguments if parameter in arguments]
    # A value of another argument is no alternative: "from Paris to London and Rome", with an origin and destinations.
    other = [
        leaf for each in own_arguments for key, value in each.items() if key != parameter for leaf in leaves(value)
    ]
    for elements in lists_with_any(given_values, evidence):
        # A call with another value shows that the list belongs to another parameter.
        listed = [arguments for arguments in own_arguments if parameter in arguments]
        if not all(contains_value(arguments[parameter], elements) for arguments in listed):
            continue
        remaining = [element for element in elements if not contains_value(element, given_values)]
        if (
            not remaining
            or not _match_schema(remaining, schema)
            or any(contains_value(element, other) for element in elements)
        ):
            continue
        patterns = _unique({key: value for key, value in each.items() if key != parameter} for each in listed)
        if len(listed) != len(patterns) * len({str(arguments[parameter]).casefold() for arguments in listed}):
            continue  # the other arguments differ by element, so those of the new elements are unknown
        new_calls = [(name, {**pattern, parameter: element}) for pattern in patterns for element in elements]
        first = calls.index((name, listed[0]))
        kept = [call for call in calls if call[0] != name or call[1] not in listed]
        return [*kept[:first], *new_calls, *kept[first:]]
    return calls


def _unique(arguments: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    unique: list[dict[str, Any]] = []
    for each in arguments:
        if each not in unique:
            unique.append(each)
    return unique


def _expand_number_groups(
    calls: list[Call], name: str, properties: Mapping[str, Any], evidence: Evidence
) -> list[Call]:
    """Expands a call with 3 and 4 in "3 and 4, 5 and 12": one call per group of numbers."""
    own_arguments = [arguments for called, arguments in calls if called == name]
    if len(own_arguments) != 1:
        return calls
    numeric = [key for key in properties if is_number(own_arguments[0].get(key))]
    if len(numeric) < 2:
        return calls
    if groups := _bracketed_groups(evidence, own_arguments[0], numeric):
        kept = [call for call in calls if call[0] != name]
        new_calls = (
            {key: _typed_like(own_arguments[0][key], value) for key, value in zip(numeric, group, strict=True)}
            for group in groups
        )
        return [*kept, *((name, {**own_arguments[0], **values}) for values in new_calls)]
    for run in number_runs(evidence):
        values = [number.value for number in run]
        size = len(numeric)
        if len(values) <= size or len(values) % size:
            continue
        by_value = {float(own_arguments[0][key]): key for key in numeric}
        order = [by_value.get(value) for value in values[:size]]
        if None in order or len(set(order)) < size:
            continue
        more_calls = [
            {
                **own_arguments[0],
                **{
                    str(key): _typed_like(own_arguments[0][str(key)], value)
                    for key, value in zip(order, chunk, strict=True)
                },
            }
            for chunk in (values[start : start + size] for start in range(size, len(values), size))
        ]
        return [*calls, *((name, arguments) for arguments in more_calls)]
    return calls


def _bracketed_groups(evidence: Evidence, arguments: Mapping[str, Any], numeric: Sequence[str]) -> list[list[float]]:
    """Returns groups of "(45, 60) and (81, 63)" if their size fits the call and they hold its numbers; else none."""
    spans = [match.span() for match in re.finditer(r"\([^()]*\)", evidence.text)]
    inside = [[n.value for n in evidence.numbers if start < n.start < end] for start, end in spans]
    groups = [values for values in inside if values]
    bracketed = {value for values in groups for value in values}
    fit = len(groups) > 1 and all(len(values) == len(numeric) for values in groups)
    return groups if fit and all(float(arguments[key]) in bracketed for key in numeric) else []


def _expand_number_series(calls: list[Call], name: str, evidence: Evidence) -> list[Call]:
    """Adds the third call for "85 kg and 175 cm, 60 kg and 160 cm, 90 kg and 185 cm" if two calls have the first pairs.

    The numbers that differ between calls must have the same order in each group, each before the same word.
    """
    own_arguments = [arguments for called, arguments in calls if called == name]
    varying = [key for key in own_arguments[0] if len({str(each.get(key)) for each in own_arguments}) > 1]
    if (
        len(own_arguments) < 2
        or not varying
        or not all(is_number(each.get(key)) for each in own_arguments for key in varying)
    ):
        return calls
    numbers = evidence.numbers
    positions: list[int] = []
    order: list[str] = []
    for arguments in own_arguments:
        start = positions[-1] + 1 if positions else 0
        positions_by_key: dict[str, int] = {}
        for index in range(start, len(numbers)):
            key = next(
                (k for k in varying if k not in positions_by_key and numbers[index].value == float(arguments[k])), None
            )
            if key:
                positions_by_key[key] = index
        positions += sorted(positions_by_key.values())
        ordered = sorted(positions_by_key, key=lambda key: positions_by_key[key])
        order = order or ordered
        if ordered != order or len(ordered) != len(varying):
            return calls
    size = len(order)
    units = [_word_after(evidence, numbers[place]) for place in positions[:size]]
    remaining = [number for number in numbers[positions[-1] + 1 :] if _word_after(evidence, number) in units]
    more_calls: list[Call] = []
    for start in range(0, len(remaining) - size + 1, size):
        chunk = remaining[start : start + size]
        if [_word_after(evidence, number) for number in chunk] != units:
            break
        values = {
            key: _typed_like(own_arguments[-1][key], number.value) for key, number in zip(order, chunk, strict=True)
        }
        more_calls.append((name, {**own_arguments[-1], **values}))
    return [*calls, *(call for call in more_calls if call not in calls)]


def _word_after(evidence: Evidence, number: NumberSpan) -> str:
    match = re.compile(r"\s?([^\W\d]+)").match(evidence.text, number.end)
    return match[1].casefold() if match else ""


def _expand_respectively(calls: list[Call], name: str, properties: Mapping[str, Any], evidence: Evidence) -> list[Call]:
    """Combines lists of equal length element by element: "Drama and Comedy of 2010 and 2012 respectively"."""
    own_arguments = [arguments for called, arguments in calls if called == name]
    if len(own_arguments) != 1 or "respectively" not in evidence.text.casefold():
        return calls
    lists = {
        key: elements
        for key, value in own_arguments[0].items()
        if (properties.get(key) or {}).get("type") in {"string", "integer", "number"}
        for elements in list(lists_with_any([value], evidence))[:1]
        if _match_schema(elements, properties[key])
    }
    lengths = {len(elements) for elements in lists.values()}
    if len(lists) < 2 or len(lengths) != 1:
        return calls
    new_calls = [
        (name, {**own_arguments[0], **dict(zip(lists, row, strict=True))}) for row in zip(*lists.values(), strict=True)
    ]
    first = calls.index((name, own_arguments[0]))
    return [*calls[:first], *new_calls, *calls[first + 1 :]]


def _match_schema(elements: Sequence[Any], schema: Mapping[str, Any]) -> bool:
    choices = schema.get("enum")
    if isinstance(choices, list):
        return all(any(str(choice).casefold() == str(element).casefold() for choice in choices) for element in elements)
    kind = schema.get("type")
    if kind == "string":
        return True
    return all(is_number(element) and (kind == "number" or float(element).is_integer()) for element in elements)


def _typed_like(example: Any, value: float) -> Any:
    return int(value) if isinstance(example, int) and value.is_integer() else value

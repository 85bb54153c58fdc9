"""Lists of alternatives in a text, and the calls that they stand for. Pure; used by caller.py.

"the weather in Paris, Rome and Oslo" means three calls, where Needle often makes one. What it made shows which argument
the list is about: the one whose value is an element. The other elements are its other values.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from triton_models.function.evidence import Evidence, leaves
from triton_models.function.number_spans import Number

Call = tuple[str, dict[str, Any]]

_MAX_CALLS = 12
_AND = r"(?:,\s*(?:and|then|as well as)\s+|\s+(?:and|as well as|&)\s+|,\s*|\s*;\s*)"
_AND_WORD = re.compile(r"\b(?:and|then|as well as)\b|[&;]", re.IGNORECASE)
# What may stand between two numbers of a list beside that: units, currencies, brackets and small words.
_BETWEEN_NUMBERS = re.compile(
    rf"(?:\s?[^\W\d_]+\.?){{0,2}}[)\]]?{_AND}(?:(?:also|for|at|of|in|by|to|the|then|again)\s+){{0,2}}[(\[]?[$€£]?",
    re.IGNORECASE,
)
_QUOTES = ("'", '"', "“", "‘")  # noqa: RUF001
_QUOTED = r"'[^'\n]{1,80}'|\"[^\"\n]{1,80}\"|“[^”\n]{1,80}”|‘[^’\n]{1,80}’"  # noqa: RUF001
_CAPITALISED = r"(?:[A-Z0-9][\w.&+-]*(?:\s+(?:of|the|de|la|van|von)\s+(?=[A-Z]))?\s?)*[A-Z][\w&+-]*(?:\s\d+)?"
_CODE = r"[A-Za-z]{0,4}-?\d[\w-]*"
_PLAIN = r"[a-z][a-z-]+"
_LEAD = r"(?:(?:also|for|in|from|at|of|the|a|an|to|with|by|on|about)\s+){0,2}"
# Behind a list of plain words: the end of a clause, or a word that leads to something else.
_END = re.compile(r"\s*(?:[.,;:?!)]|$|\s(?:for|in|on|from|with|using|at|to|of|during|within|by|respectively)\b)")


def expanded(calls: Sequence[Call], schemas: Mapping[str, Mapping[str, Any]], evidence: Evidence) -> list[Call]:
    """`calls`, and those that the lists of the text add to them, each of them once."""
    grown = _parted(calls)
    for name in dict.fromkeys(name for name, _ in calls):
        properties = schemas[name].get("properties") or {}
        if _incomplete(grown, name, schemas[name]):
            continue
        grown = _pairs(grown, name, properties, evidence)
        grown = _series(grown, name, evidence)
        grown = _respectively(grown, name, properties, evidence)
        for parameter, schema in properties.items():
            if schema.get("type") in {"string", "integer", "number"}:
                grown = _over(grown, name, parameter, schema, evidence)
    return grown if len(grown) <= _MAX_CALLS else list(calls)


def _parted(calls: Sequence[Call]) -> list[Call]:
    """Each "Paris, Rome" beside a call with "Rome" is "Paris"."""
    parted: list[Call] = []
    for name, arguments in calls:
        others = [given for called, given in calls if called == name and given is not arguments]
        kept = dict(arguments)
        for parameter, value in arguments.items():
            head, comma, tail = value.partition(", ") if isinstance(value, str) else ("", "", "")
            if comma and any(_same(tail, given.get(parameter)) for given in others):
                kept[parameter] = head
        parted.append((name, kept))
    return parted


def _incomplete(calls: Sequence[Call], name: str, schema: Mapping[str, Any]) -> bool:
    """A call lacks a required value: an element of the list may be just that one."""
    required = schema.get("required") or []
    return any(parameter not in arguments for called, arguments in calls if called == name for parameter in required)


def _over(calls: list[Call], name: str, parameter: str, schema: Mapping[str, Any], evidence: Evidence) -> list[Call]:
    """The calls of `name` for every element of the list that `parameter` has its values from."""
    own = [arguments for called, arguments in calls if called == name]
    given = [arguments[parameter] for arguments in own if parameter in arguments]
    # What other arguments took is no alternative: "from Paris to London and Rome" with an origin and destinations.
    other = [leaf for each in own for key, value in each.items() if key != parameter for leaf in leaves(value)]
    for elements in _lists(given, evidence):
        # A call with another value shows that the list is not what the parameter is about.
        listed = [arguments for arguments in own if parameter in arguments]
        if not all(_among(arguments[parameter], elements) for arguments in listed):
            continue
        left = [element for element in elements if not _among(element, given)]
        if not left or not _fit(left, schema) or any(_among(element, other) for element in elements):
            continue
        patterns = _unique({key: value for key, value in each.items() if key != parameter} for each in listed)
        if len(listed) != len(patterns) * len({str(arguments[parameter]).casefold() for arguments in listed}):
            continue  # each element has companions of its own: nobody can say which ones the others have
        made = [(name, {**pattern, parameter: element}) for pattern in patterns for element in elements]
        first = calls.index((name, listed[0]))
        kept = [call for call in calls if call[0] != name or call[1] not in listed]
        return [*kept[:first], *made, *kept[first:]]
    return calls


def _unique(arguments: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    unique: list[dict[str, Any]] = []
    for each in arguments:
        if each not in unique:
            unique.append(each)
    return unique


def _pairs(calls: list[Call], name: str, properties: Mapping[str, Any], evidence: Evidence) -> list[Call]:
    """ "3 and 4, 5 and 12" where one call took 3 and 4: the following numbers, as many at a time."""
    own = [arguments for called, arguments in calls if called == name]
    if len(own) != 1:
        return calls
    numeric = [key for key in properties if _is_number(own[0].get(key))]
    if len(numeric) < 2:
        return calls
    if groups := _groups(evidence, own[0], numeric):
        kept = [call for call in calls if call[0] != name]
        made = ({key: _like(own[0][key], value) for key, value in zip(numeric, group, strict=True)} for group in groups)
        return [*kept, *((name, {**own[0], **values}) for values in made)]
    for run in _number_runs(evidence):
        values = [number.value for number in run]
        size = len(numeric)
        if len(values) <= size or len(values) % size:
            continue
        by_value = {float(own[0][key]): key for key in numeric}
        order = [by_value.get(value) for value in values[:size]]
        if None in order or len(set(order)) < size:
            continue
        more = [
            {**own[0], **{str(key): _like(own[0][str(key)], value) for key, value in zip(order, chunk, strict=True)}}
            for chunk in (values[start : start + size] for start in range(size, len(values), size))
        ]
        return [*calls, *((name, arguments) for arguments in more)]
    return calls


def _groups(evidence: Evidence, arguments: Mapping[str, Any], numeric: Sequence[str]) -> list[list[float]]:
    """The groups of "(45, 60) and (81, 63)", each of as many numbers as the call has, and the call's among them."""
    spans = [match.span() for match in re.finditer(r"\([^()]*\)", evidence.text)]
    inside = [[n.value for n in evidence.numbers if start < n.start < end] for start, end in spans]
    groups = [values for values in inside if values]
    said = {value for values in groups for value in values}
    fit = len(groups) > 1 and all(len(values) == len(numeric) for values in groups)
    return groups if fit and all(float(arguments[key]) in said for key in numeric) else []


def _series(calls: list[Call], name: str, evidence: Evidence) -> list[Call]:
    """ "85 kg and 175 cm, 60 kg and 160 cm, 90 kg and 185 cm", where two calls took the first two pairs: the third.

    The numbers that vary from call to call must come in the same order in each of them, each before the same word.
    """
    own = [arguments for called, arguments in calls if called == name]
    varying = [key for key in own[0] if len({str(each.get(key)) for each in own}) > 1]
    if len(own) < 2 or not varying or not all(_is_number(each.get(key)) for each in own for key in varying):
        return calls
    found = evidence.numbers
    places: list[int] = []
    order: list[str] = []
    for arguments in own:
        start = places[-1] + 1 if places else 0
        taken: dict[str, int] = {}
        for index in range(start, len(found)):
            key = next((k for k in varying if k not in taken and found[index].value == float(arguments[k])), None)
            if key:
                taken[key] = index
        places += sorted(taken.values())
        ordered = sorted(taken, key=lambda key: taken[key])
        order = order or ordered
        if ordered != order or len(ordered) != len(varying):
            return calls
    size = len(order)
    units = [_word_behind(evidence, found[place]) for place in places[:size]]
    left = [number for number in found[places[-1] + 1 :] if _word_behind(evidence, number) in units]
    more: list[Call] = []
    for start in range(0, len(left) - size + 1, size):
        chunk = left[start : start + size]
        if [_word_behind(evidence, number) for number in chunk] != units:
            break
        values = {key: _like(own[-1][key], number.value) for key, number in zip(order, chunk, strict=True)}
        more.append((name, {**own[-1], **values}))
    return [*calls, *(call for call in more if call not in calls)]


def _word_behind(evidence: Evidence, number: Number) -> str:
    match = re.compile(r"\s?([^\W\d]+)").match(evidence.text, number.end)
    return match[1].casefold() if match else ""


def _respectively(calls: list[Call], name: str, properties: Mapping[str, Any], evidence: Evidence) -> list[Call]:
    """ "Drama and Comedy of 2010 and 2012 respectively": the elements of lists of one length, side by side."""
    own = [arguments for called, arguments in calls if called == name]
    if len(own) != 1 or "respectively" not in evidence.text.casefold():
        return calls
    lists = {
        key: elements
        for key, value in own[0].items()
        if (properties.get(key) or {}).get("type") in {"string", "integer", "number"}
        for elements in list(_lists([value], evidence))[:1]
        if _fit(elements, properties[key])
    }
    lengths = {len(elements) for elements in lists.values()}
    if len(lists) < 2 or len(lengths) != 1:
        return calls
    made = [(name, {**own[0], **dict(zip(lists, row, strict=True))}) for row in zip(*lists.values(), strict=True)]
    first = calls.index((name, own[0]))
    return [*calls[:first], *made, *calls[first + 1 :]]


def _lists(given: Sequence[Any], evidence: Evidence) -> Iterator[tuple[Any, ...]]:
    """The lists of the text that hold a value of `given`."""
    seen: set[tuple[Any, ...]] = set()
    if any(_is_number(value) for value in given):
        for run in _number_runs(evidence):
            read_as = tuple(number.value for number in run)
            percent = all(number.percent for number in run)
            for read in (read_as, tuple(value / 100 for value in read_as) if percent else ()):
                kept = tuple(int(value) if value.is_integer() else value for value in read)
                if len(set(kept)) > 1 and kept not in seen and any(_among(value, kept) for value in given):
                    seen.add(kept)
                    yield tuple(dict.fromkeys(kept))
    for value in given:
        if isinstance(value, str) and value:
            elements = _words_around(value, evidence.text)
            if len(elements) > 1 and elements not in seen:
                seen.add(elements)
                yield elements


def _number_runs(evidence: Evidence) -> Iterator[list[Number]]:
    """Numbers with nothing between them but what joins a list."""
    run: list[Number] = []
    for number in evidence.numbers:
        joined = run and _BETWEEN_NUMBERS.fullmatch(evidence.text[run[-1].end : number.start])
        if joined and run[-1].percent == number.percent:
            run.append(number)
            continue
        if len(run) > 1:
            yield run
        run = [number]
    if len(run) > 1:
        yield run


def _words_around(value: str, text: str) -> tuple[str, ...]:
    """The elements of the list in `text` that `value` is one of, in order; none where it stands alone."""
    head, comma, _ = value.partition(", ")
    found = re.search(rf"(?<!\w){re.escape(head)}(?!\w)", text) or re.search(
        rf"(?<!\w){re.escape(head)}(?!\w)", text, re.IGNORECASE
    )
    if not found:
        return ()
    start, end = found.span()
    if text[start - 1 : start] in _QUOTES and start > 0:
        shape, start, end = _QUOTED, start - 1, end + 1
    else:
        shape = next((each for each in (_CODE, _CAPITALISED, _PLAIN) if re.fullmatch(each, found[0])), "")
        if not shape:
            return ()
    before, after = _before(text, start, shape), _after(text, end, shape)
    chain = [*before, (text[start:end], after[0][0] if after else ""), *_shifted(after)]
    # A comma alone joins no two things: "Paris, France".
    if len(chain) < 3 and not any(_AND_WORD.search(behind) for _, behind in chain):
        return ()
    chunks = _chunks(chain)
    own = _bare(text[start:end])
    here = next(chunk for chunk in chunks if own in chunk)
    if len(here) > 1 and all(len(chunk) == len(here) for chunk in chunks):  # "Paris, France and Rome, Italy"
        place = here.index(own)
        return tuple(dict.fromkeys(", ".join(chunk) if comma else chunk[place] for chunk in chunks))
    if comma or any(len(chunk) > 1 for chunk in chunks[1:]):
        return ()
    return tuple(dict.fromkeys(_bare(element) for chunk in chunks for element in chunk))


def _chunks(chain: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Elements, each with what stands behind it, cut at every "and"."""
    chunks: list[list[str]] = [[]]
    for element, behind in chain:
        chunks[-1].append(_bare(element))
        if _AND_WORD.search(behind):
            chunks.append([])
    return [chunk for chunk in chunks if chunk]


def _shifted(after: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """From (separator, element) to (element, the separator behind it)."""
    behind = [*(separator for separator, _ in after), ""][1:]
    return [(element, separator) for (_, element), separator in zip(after, behind, strict=True)]


def _after(text: str, end: int, shape: str) -> list[tuple[str, str]]:
    """(separator, element) of what follows."""
    elements: list[tuple[str, str]] = []
    ends = [end]
    while match := re.compile(rf"({_AND}{_LEAD})({shape})").match(text, ends[-1]):
        elements.append((match[1], match[2]))
        ends.append(match.end())
    if shape == _PLAIN and elements and not _END.match(text, ends[len(elements)]):
        return []
    return elements


def _before(text: str, start: int, shape: str) -> list[tuple[str, str]]:
    """(element, separator behind it) of what stands before."""
    elements: list[tuple[str, str]] = []
    starts = [start]
    while match := re.search(rf"(?<!\w)({shape})({_AND}{_LEAD})$", text[: starts[-1]]):
        elements.insert(0, (match[1], match[2]))
        starts.append(match.start())
    return elements


def _bare(element: str) -> str:
    return element.strip("'\"“”‘’ ")  # noqa: RUF001


def _fit(elements: Sequence[Any], schema: Mapping[str, Any]) -> bool:
    choices = schema.get("enum")
    if isinstance(choices, list):
        return all(any(str(choice).casefold() == str(element).casefold() for choice in choices) for element in elements)
    kind = schema.get("type")
    if kind == "string":
        return True
    return all(_is_number(element) and (kind == "number" or float(element).is_integer()) for element in elements)


def _among(value: Any, others: Sequence[Any]) -> bool:
    return any(_same(value, other) for other in others)


def _same(value: Any, other: Any) -> bool:
    if _is_number(value) and _is_number(other):
        return float(value) == float(other)
    return isinstance(value, str) and isinstance(other, str) and value.casefold() == other.casefold()


def _like(example: Any, value: float) -> Any:
    return int(value) if isinstance(example, int) and value.is_integer() else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

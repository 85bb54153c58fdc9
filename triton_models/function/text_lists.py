"""Finds the lists in a text: "Paris, Rome and Oslo", "10, 20 and 30 years". Pure; used by call_expansion.py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from triton_models.function.evidence import Evidence, is_number
from triton_models.function.number_spans import NumberSpan

_AND = r"(?:,\s*(?:and|then|as well as)\s+|\s+(?:and|as well as|&)\s+|,\s*|\s*;\s*)"
_AND_WORD = re.compile(r"\b(?:and|then|as well as)\b|[&;]", re.IGNORECASE)
# Allowed between two numbers of a list, beside a separator: units, currencies, brackets and short words.
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
# Required after a list of plain words: the end of a clause, or a preposition.
_END = re.compile(r"\s*(?:[.,;:?!)]|$|\s(?:for|in|on|from|with|using|at|to|of|during|within|by|respectively)\b)")


def lists_with_any(values: Sequence[Any], evidence: Evidence) -> Iterator[tuple[Any, ...]]:
    """Yields the lists of the text that contain one of `values`."""
    seen: set[tuple[Any, ...]] = set()
    if any(is_number(value) for value in values):
        for run in number_runs(evidence):
            values_as_read = tuple(number.value for number in run)
            is_percent = all(number.is_percent for number in run)
            for numbers in (values_as_read, tuple(value / 100 for value in values_as_read) if is_percent else ()):
                elements = tuple(int(value) if value.is_integer() else value for value in numbers)
                is_new = len(set(elements)) > 1 and elements not in seen
                if is_new and any(contains_value(value, elements) for value in values):
                    seen.add(elements)
                    yield tuple(dict.fromkeys(elements))
    for value in values:
        if isinstance(value, str) and value:
            words = _list_around(value, evidence.text)
            if len(words) > 1 and words not in seen:
                seen.add(words)
                yield words


def number_runs(evidence: Evidence) -> Iterator[list[NumberSpan]]:
    """Yields the lists of numbers: at least two, with only separators between them."""
    run: list[NumberSpan] = []
    for number in evidence.numbers:
        joined = run and _BETWEEN_NUMBERS.fullmatch(evidence.text[run[-1].end : number.start])
        if joined and run[-1].is_percent == number.is_percent:
            run.append(number)
            continue
        if len(run) > 1:
            yield run
        run = [number]
    if len(run) > 1:
        yield run


def _list_around(value: str, text: str) -> tuple[str, ...]:
    """Returns the elements of the list in `text` that contains `value`, in order; () if it is no element of a list."""
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
    before, after = _elements_before(text, start, shape), _elements_after(text, end, shape)
    chain = [*before, (text[start:end], after[0][0] if after else ""), *_separators_after(after)]
    # A comma alone makes no list of two: "Paris, France".
    if len(chain) < 3 and not any(_AND_WORD.search(separator) for _, separator in chain):
        return ()
    chunks = _split_at_and(chain)
    own = _without_quotes(text[start:end])
    own_chunk = next(chunk for chunk in chunks if own in chunk)
    if len(own_chunk) > 1 and all(len(chunk) == len(own_chunk) for chunk in chunks):  # "Paris, France and Rome, Italy"
        index = own_chunk.index(own)
        return tuple(dict.fromkeys(", ".join(chunk) if comma else chunk[index] for chunk in chunks))
    if comma or any(len(chunk) > 1 for chunk in chunks[1:]):
        return ()
    return tuple(dict.fromkeys(_without_quotes(element) for chunk in chunks for element in chunk))


def _split_at_and(chain: Sequence[tuple[str, str]]) -> list[list[str]]:
    """Splits a chain of (element, separator after it) at every "and"."""
    chunks: list[list[str]] = [[]]
    for element, separator in chain:
        chunks[-1].append(_without_quotes(element))
        if _AND_WORD.search(separator):
            chunks.append([])
    return [chunk for chunk in chunks if chunk]


def _separators_after(after: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Converts (separator, element) to (element, separator after it)."""
    separators = [*(separator for separator, _ in after), ""][1:]
    return [(element, separator) for (_, element), separator in zip(after, separators, strict=True)]


def _elements_after(text: str, end: int, shape: str) -> list[tuple[str, str]]:
    """Returns (separator, element) of the elements after `end`."""
    elements: list[tuple[str, str]] = []
    ends = [end]
    while match := re.compile(rf"({_AND}{_LEAD})({shape})").match(text, ends[-1]):
        elements.append((match[1], match[2]))
        ends.append(match.end())
    if shape == _PLAIN and elements and not _END.match(text, ends[len(elements)]):
        return []
    return elements


def _elements_before(text: str, start: int, shape: str) -> list[tuple[str, str]]:
    """Returns (element, separator after it) of the elements before `start`."""
    elements: list[tuple[str, str]] = []
    starts = [start]
    while match := re.search(rf"(?<!\w)({shape})({_AND}{_LEAD})$", text[: starts[-1]]):
        elements.insert(0, (match[1], match[2]))
        starts.append(match.start())
    return elements


def _without_quotes(element: str) -> str:
    return element.strip("'\"“”‘’ ")  # noqa: RUF001


def contains_value(value: Any, others: Sequence[Any]) -> bool:
    return any(same_value(value, other) for other in others)


def same_value(value: Any, other: Any) -> bool:
    if is_number(value) and is_number(other):
        return float(value) == float(other)
    return isinstance(value, str) and isinstance(other, str) and value.casefold() == other.casefold()

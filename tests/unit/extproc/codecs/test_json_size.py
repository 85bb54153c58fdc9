"""Counts JSON values in bytes, before anything is parsed."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.codecs.json_size import MAX_DEPTH, MAX_NUMBER_CHARS, JsonCounter, check
from extproc.errors import InvalidRequest, RequestTooLarge
from extproc.shared.filter_config import JsonValue

MANY = 10**9
TEXTS = st.text(alphabet='"\\{}[],:a1 \n\x00é', max_size=12)
VALUES: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=30,
)


def built(value: JsonValue) -> int:
    """The objects that a parser makes of it, itself not counted."""
    if isinstance(value, list):
        return len(value) + sum(map(built, value))
    if isinstance(value, dict):
        return 2 * len(value) + sum(map(built, value.values()))
    return 0


@given(VALUES, st.data(), st.booleans())
def test_counts_every_value_for_all_cuts_and_strings(value: JsonValue, data: st.DataObject, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    counter = JsonCounter(MANY)
    rest = text
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        counter.feed(rest[:size])
        rest = rest[size:]
    containers = text.count(b"[") + text.count(b"{")
    assert built(value) <= counter.values <= built(value) + containers
    assert counter.values == check(text, MANY)


@pytest.mark.parametrize(
    "text",
    [
        b"[" + b"1," * 1001 + b"1]",
        b"[" + b"[]," * 1001 + b"1]",
        b"{" + b",".join(b'"\\\\":1' for _ in range(600)) + b"}",
        b'{"a\\\\":' + b"[" + b'"",' * 1001 + b"1]}",
    ],
)
def test_refuses_too_many_values_and_names_the_limit(text: bytes) -> None:
    with pytest.raises(RequestTooLarge, match="more than 1000 JSON values"):
        check(text, 1000)


@pytest.mark.parametrize(
    "text", ["x" * 5_000_000, '{"[1,1]": "' * 400_000, "\\" * 999_999, 'say "hi": {} [],\n' * 90_000]
)
def test_a_long_text_or_file_is_one_value(text: str) -> None:
    assert check(json.dumps({"messages": [{"role": "user", "content": text}]}), 1000) < 10


def test_limits_nesting_and_numbers_for_all_cuts() -> None:
    check(b"[" * MAX_DEPTH, MANY)
    with pytest.raises(InvalidRequest, match=f"more than {MAX_DEPTH}"):
        check(b'{"a":' * (MAX_DEPTH + 1), MANY)
    check(b"[" + b"1" * MAX_NUMBER_CHARS, MANY)
    counter = JsonCounter(MANY)
    counter.feed(b'{"a": -')
    with pytest.raises(InvalidRequest, match=f"number of more than {MAX_NUMBER_CHARS}"):
        for _ in range(MAX_NUMBER_CHARS):
            counter.feed(b"1")


@pytest.mark.parametrize("bracket", [b"[", b'{"a":'])
def test_closed_objects_and_arrays_do_not_count_as_nesting(bracket: bytes) -> None:
    closed = b"[" + b'[{"a":1}],' * 500
    check(closed + bracket * (MAX_DEPTH - 1), MANY)
    with pytest.raises(InvalidRequest, match=f"more than {MAX_DEPTH}"):
        check(closed + bracket * MAX_DEPTH, MANY)

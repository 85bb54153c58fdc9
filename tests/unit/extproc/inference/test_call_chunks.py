"""The split of a request into calls."""

from __future__ import annotations

from extproc.inference.call_chunks import split
from extproc.inference.text_cost import prose_bytes


def test_splits_by_number_of_texts() -> None:
    chunks = split({"TEXT": ["a", "b", "c"]}, max_texts=2, max_cost=1_000)
    assert [chunk.columns for chunk in chunks] == [{"TEXT": [b"a", b"b"]}, {"TEXT": [b"c"]}]
    assert [chunk.rows for chunk in chunks] == [2, 1]


def test_splits_by_cost_but_never_a_single_text() -> None:
    long, short = "word " * 100, "word"
    chunks = split({"TEXT": [short, long, short]}, max_texts=8, max_cost=prose_bytes(short) * 2)
    assert [chunk.rows for chunk in chunks] == [1, 1, 1]
    assert [chunk.cost for chunk in chunks] == [prose_bytes(text) for text in (short, long, short)]


def test_rows_of_all_columns_stay_together() -> None:
    chunks = split({"P": ["p", "p", "p"], "H": ["a", "b", "c"]}, max_texts=2, max_cost=1_000)
    assert [chunk.columns for chunk in chunks] == [{"P": [b"p", b"p"], "H": [b"a", b"b"]}, {"P": [b"p"], "H": [b"c"]}]

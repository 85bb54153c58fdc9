"""The wishes in a prompt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.pipeline.intent.splitting import MAX_REQUESTS, split_requests


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("weather in Oslo, and change 5 EUR to USD", ("weather in Oslo", "change 5 EUR to USD")),
        ("Block my card. Then show my balance.", ("Block my card.", "show my balance.")),
        ("block my card; also show my balance", ("block my card", "show my balance")),
        ("1. block my card\n2. show my balance", ("block my card", "show my balance")),
        ("weather in Paris, Rome and Oslo and change 5 EUR", ("weather in Paris, Rome, Oslo", "change 5 EUR")),
    ],
)
def test_each_wish_is_a_part(text: str, parts: tuple[str, ...]) -> None:
    assert split_requests(text) == parts


@pytest.mark.parametrize(
    "text", ["", "hi", "weather in Oslo", "Paris, Rome and Oslo", "the same words.\nthe same words."]
)
def test_one_wish_has_no_parts(text: str) -> None:
    assert split_requests(text) == ()


def test_too_many_clauses_are_taken_by_sentence_and_too_many_sentences_not_at_all() -> None:
    sentences = [
        f"I want number {index}, and I want letter {index}, and I want more of {index}." for index in range(50)
    ]
    assert split_requests(" ".join(sentences[:5])) == tuple(sentences[:5])
    assert split_requests(" ".join(sentences)) == ()


@given(st.text())
def test_no_text_has_more_wishes_than_may_be_asked_about(text: str) -> None:
    assert len(split_requests(text)) in {0, *range(2, MAX_REQUESTS + 1)}

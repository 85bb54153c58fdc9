"""Intent splitting."""

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
def test_splits_a_prompt_into_requests(text: str, parts: tuple[str, ...]) -> None:
    assert split_requests(text) == parts


@pytest.mark.parametrize(
    "text", ["", "hi", "weather in Oslo", "Paris, Rome and Oslo", "the same words.\nthe same words."]
)
def test_single_request_is_not_split(text: str) -> None:
    assert split_requests(text) == ()


def test_too_many_clauses_split_by_sentence_and_too_many_sentences_do_not_split() -> None:
    sentences = [
        f"I want number {index}, and I want letter {index}, and I want more of {index}." for index in range(50)
    ]
    assert split_requests(" ".join(sentences[:5])) == tuple(sentences[:5])
    assert split_requests(" ".join(sentences)) == ()


@given(st.text())
def test_any_text_has_at_most_the_maximum_of_requests(text: str) -> None:
    assert len(split_requests(text)) in {0, *range(2, MAX_REQUESTS + 1)}

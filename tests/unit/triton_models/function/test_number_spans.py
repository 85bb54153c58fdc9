"""The two parsers of number words agree: this one runs in Triton's Python, the other one in the filter."""

import pytest

from extproc.pipeline.functions.number_words import CARDINALS, parse_number_words
from triton_models.function.number_spans import find_numbers


@pytest.mark.parametrize(
    "text",
    [
        *(word for word in CARDINALS if word not in {"fourty", "nil"}),
        "twenty one",
        "one hundred",
        "two hundred and five",
        "two hundred five thousand",
        "three million two hundred thousand and six",
        "four billion",
        "five trillion",
    ],
)
def test_agrees_with_the_parser_of_the_filter(text: str) -> None:
    (number,) = find_numbers(text)
    tokens = text.split()
    assert parse_number_words(tokens, 0) == ([number.value], len(tokens))

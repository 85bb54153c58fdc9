"""Similarity of a prompt and a target."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from extproc.pipeline.intent.similarity import crowding, similarity, stems, target_texts, word_overlap
from extproc.shared.filter_config import Parameter, ParameterType
from tests.unit.extproc.fakes import target


def test_target_texts_are_with_and_without_parameters() -> None:
    plain = target("get_current-weather")
    assert target_texts(plain) == ("get current weather: about get_current-weather",)
    with_days = msgspec.structs.replace(
        plain, parameters=(Parameter(name="dayCount", type=ParameterType.INT, description="d"),)
    )
    assert target_texts(with_days)[1] == "get current weather: about get_current-weather (day count)"


def test_stems_drop_endings_and_stop_words() -> None:
    assert stems("What are the forecasts, and is it raining?") == {"forecast", "rain"}


@given(st.text(), st.text())
def test_word_overlap_is_between_0_and_1(prompt: str, other: str) -> None:
    assert 0.0 <= word_overlap(stems(prompt), stems(other)) <= 1.0
    assert word_overlap(stems(prompt), stems(prompt)) in {0.0, 1.0}


@pytest.mark.parametrize(("shared", "score"), [(0.0, 0.3), (1.0, 0.55)])
def test_shared_words_raise_the_score(shared: float, score: float) -> None:
    assert similarity(np.array([0.4, 0.1]), np.array([]), shared) == pytest.approx(score)


def test_nearest_example_counts_as_much_as_description() -> None:
    assert similarity(np.array([0.4]), np.array([0.1, 0.9]), 0.0) == pytest.approx((0.3 + 0.9) / 2)


def test_best_of_many_targets_needs_a_higher_cosine() -> None:
    assert crowding(1) == 0
    assert crowding(2) < crowding(8) < crowding(128) < 0.15
    few, many = (similarity(np.array([0.4]), np.array([]), 0.0, count) for count in (2, 128))
    assert few > many

"""The probability of a text from those of its chunks."""

import pytest

from extproc.pipeline.guard.text_probability import text_probability


def test_one_chunk_keeps_its_probability() -> None:
    assert text_probability([0.7], 1) == pytest.approx(0.7)


def test_text_without_chunks_is_harmless() -> None:
    assert text_probability([], 0) == 0.0


@pytest.mark.parametrize("probability", [0.55, 0.9, 0.999])
def test_the_same_worst_chunk_counts_less_in_a_longer_text(probability: float) -> None:
    found = [text_probability([0.01, probability], chunks) for chunks in (2, 30, 300)]
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == 3


def test_chunks_that_are_all_suspicious_count_in_full() -> None:
    assert text_probability([0.8] * 40, 40) == pytest.approx(0.8)
    assert text_probability([0.8] * 20 + [0.01] * 20, 40) > text_probability([0.8] + [0.01] * 39, 40)


def test_sure_chunk_decides_in_a_text_of_any_length() -> None:
    assert text_probability([1.0], 10_000) > 0.999
    assert text_probability([0.0], 10_000) < 0.001
    assert text_probability([0.999], 30) > 0.5

"""The positive classes of a sequence classifier."""

import pytest

from triton_models.class_labels import Classes, classes

GUARD = {"0": "BENIGN", "1": "INJECTION", "2": "JAILBREAK"}
NLI = {"0": "contradiction", "1": "neutral", "2": "entailment"}


@pytest.mark.parametrize("positive", ["1,2", "injection, JAILBREAK", "2,1,Injection"])
def test_accepts_names_and_numbers_of_classes(positive: str) -> None:
    found = classes(GUARD, positive)
    assert sorted(found.positive) == [1, 2]
    assert found.counted == (0, 1, 2)


def test_neutral_class_is_left_out() -> None:
    assert classes(NLI, "entailment") == Classes((2,), (0, 2))
    assert Classes((2,), (0, 2)).probability([1.0, 50.0, 1.0]) == pytest.approx(0.5)


def test_probabilities_of_positive_classes_add_up() -> None:
    assert classes(GUARD, "1,2").probability([0.0, 0.0, 0.0]) == pytest.approx(2 / 3)
    assert classes(GUARD, "2").probability([900.0, -900.0, 1000.0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("positive", "words"),
    [("toxic", "has no class 'toxic'; it has: 0 BENIGN, 1 INJECTION"), ("", "must name some"), ("0,1,2", "not all")],
)
def test_refuses_unknown_classes_none_and_all(positive: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        classes(GUARD, positive)

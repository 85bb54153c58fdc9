"""What the classes of a sequence classifier mean."""

import pytest

from triton_models.class_labels import Classes, classes

GUARD = {"0": "BENIGN", "1": "INJECTION", "2": "JAILBREAK"}
NLI = {"0": "contradiction", "1": "neutral", "2": "entailment"}


@pytest.mark.parametrize("positive", ["1,2", "injection, JAILBREAK", "2,1,Injection"])
def test_classes_are_named_by_name_or_number(positive: str) -> None:
    found = classes(GUARD, positive)
    assert sorted(found.positive) == [1, 2]
    assert found.counted == (0, 1, 2)


def test_the_neutral_class_of_entailment_does_not_count() -> None:
    assert classes(NLI, "entailment") == Classes((2,), (0, 2))
    assert Classes((2,), (0, 2)).probability([1.0, 50.0, 1.0]) == pytest.approx(0.5)


def test_the_probabilities_of_positive_classes_add_up() -> None:
    assert classes(GUARD, "1,2").probability([0.0, 0.0, 0.0]) == pytest.approx(2 / 3)
    assert classes(GUARD, "2").probability([900.0, -900.0, 1000.0]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("positive", "words"),
    [("toxic", "has no class 'toxic'; it has: 0 BENIGN, 1 INJECTION"), ("", "must name some"), ("0,1,2", "not all")],
)
def test_a_class_that_does_not_exist_and_none_and_all_are_refused(positive: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        classes(GUARD, positive)

"""The guard over its windows, with models that say what the test says."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest

from triton_models.embed.encoder import Encoder
from triton_models.errors import Cancelled
from triton_models.guard.classifier import Classifier, Judgement
from triton_models.guard.detector import CLOSE_WINDOW, OVERLAP, WINDOW, Detector
from triton_models.guard.head import Head
from triton_models.onnx_session import FloatArray

NOTHING = np.zeros(1, dtype=np.float32)


class Stand:
    """Both models and the head: the first score is -9 unless a window says "odd", the score 9 when it says "attack"."""

    def __init__(self) -> None:
        self.read_by_encoder: list[str] = []
        self.read_by_classifier: list[str] = []
        self.skip = 0.0

    def read(self, text: str) -> tuple[FloatArray, FloatArray]:
        self.read_by_encoder.append(text)
        return NOTHING, np.array([1.0 if "odd" in text else -9.0], dtype=np.float32)

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        starts = [0, *(index + 1 for index, letter in enumerate(text) if letter == " ")]
        return [(start, text.find(" ", start) if " " in text[start:] else len(text)) for start in starts]

    def judge(self, text: str) -> Judgement:
        self.read_by_classifier.append(text)
        return Judgement(9.0 if "attack" in text else -9.0, NOTHING, NOTHING)

    def first(self, _: FloatArray, hidden: FloatArray) -> tuple[float, tuple[FloatArray, ...]]:
        return float(hidden[0]), ()

    def score(self, _: FloatArray, __: tuple[FloatArray, ...], judgement: Judgement) -> float:
        return judgement.logit

    def probability(self, score: float) -> float:
        return Head((), 0.0, 0.0).probability(score)

    def detector(self) -> Detector:
        stand = cast(Any, self)
        return Detector(cast(Encoder, stand), cast(Classifier, stand), cast(Head, stand))


def test_the_worst_window_decides() -> None:
    stand = Stand()
    harmless = "word " * 3 * WINDOW
    assert stand.detector().probability(harmless + "an odd attack") > 0.99
    assert stand.detector().probability(harmless) < 0.01


def test_nanoguard_reads_only_what_minilm_does_not_clear() -> None:
    stand = Stand()
    stand.detector().probability("word " * 3 * WINDOW + "odd")
    assert len(stand.read_by_encoder) > 4
    assert all(each in stand.read_by_encoder[3] for each in stand.read_by_classifier)
    assert any("odd" in each for each in stand.read_by_classifier)


def test_uncleared_window_is_judged_in_short_windows() -> None:
    stand = Stand()
    stand.detector().probability("odd " + "word " * (WINDOW - 2))
    assert {len(each.split()) for each in stand.read_by_classifier} <= set(range(1, CLOSE_WINDOW + 1))


def test_a_short_text_is_read_once_by_each_model() -> None:
    stand = Stand()
    stand.detector().probability("an odd attack")
    assert stand.read_by_encoder == stand.read_by_classifier == ["an odd attack"]


def test_cleared_window_is_never_an_attack() -> None:
    stand = Stand()
    stand.skip = 20.0
    assert stand.detector().probability("odd") <= 0.5


def test_attack_across_a_cut_is_complete_in_one_window() -> None:
    stand = Stand()
    phrase = " ".join(f"p{index}" for index in range(OVERLAP))
    for before in range(WINDOW - OVERLAP, WINDOW + 1, 7):
        stand.read_by_encoder.clear()
        stand.detector().probability("word " * before + phrase + " word" * WINDOW)
        assert any(phrase in window for window in stand.read_by_encoder)


def test_cancelled_request_stops_between_windows() -> None:
    stand = Stand()
    with pytest.raises(Cancelled):
        stand.detector().probability("word " * 3 * WINDOW, cancelled=lambda: len(stand.read_by_encoder) == 2)
    assert len(stand.read_by_encoder) == 2

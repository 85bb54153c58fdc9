"""The guard over its windows, with a scorer that says what the test says."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from triton_models.errors import Cancelled
from triton_models.guard.batching import BatchDetector
from triton_models.guard.detector import OVERLAP, WINDOW, Detector, Thresholds
from triton_models.guard.scorer import Scorer
from triton_models.guard.window_tokens import ROLE_WORDS

THRESHOLDS = Thresholds(dict.fromkeys(ROLE_WORDS, 0.0) | {"tool": 4.0})


class ScriptedScorer:
    """Scores 9 for a window that says "attack", else -9. Its tokens are words; a row of token ids is the window."""

    def __init__(self) -> None:
        self.tokens = self
        self.windows: list[str] = []
        self.roles: set[str] = set()

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        starts = [0, *(index + 1 for index, letter in enumerate(text) if letter == " ")]
        return [(start, text.find(" ", start) if " " in text[start:] else len(text)) for start in starts]

    def ids(self, window: str, role: str) -> str:
        self.roles.add(role)
        return window

    def score(self, window: str, role: str) -> float:
        return self.scores([self.ids(window, role)])[0]

    def scores(self, rows: Sequence[str]) -> list[float]:
        self.windows += rows
        return [9.0 if "attack" in row else 2.0 if "odd" in row else -9.0 for row in rows]

    def detector(self) -> Detector:
        return Detector(cast(Scorer, cast(Any, self)), THRESHOLDS)

    def batch_detector(self) -> BatchDetector:
        return BatchDetector(cast(Scorer, cast(Any, self)), THRESHOLDS)


def test_the_worst_window_decides() -> None:
    scorer = ScriptedScorer()
    harmless = "word " * 3 * WINDOW
    assert scorer.detector().probability(harmless + "an attack") > 0.99
    assert scorer.detector().probability(harmless) < 0.01


def test_a_short_text_is_one_window() -> None:
    scorer = ScriptedScorer()
    scorer.detector().probability("an attack")
    assert scorer.windows == ["an attack"]


def test_attack_across_a_cut_is_complete_in_one_window() -> None:
    scorer = ScriptedScorer()
    phrase = " ".join(f"p{index}" for index in range(OVERLAP))
    for before in range(WINDOW - OVERLAP, WINDOW + 1, 7):
        scorer.windows.clear()
        scorer.detector().probability("word " * before + phrase + " word" * WINDOW)
        assert any(phrase in window for window in scorer.windows)


def test_each_role_has_its_threshold() -> None:
    scorer = ScriptedScorer()
    assert scorer.detector().probability("odd", "user") > 0.5
    assert scorer.detector().probability("odd", "tool") < 0.5
    assert scorer.detector().probability("odd", "unknown") == scorer.detector().probability("odd")
    assert scorer.roles == {"user", "tool", "unknown"}


def test_probability_is_half_at_the_threshold_and_never_overflows() -> None:
    assert THRESHOLDS.probability(4.0, "tool") == 0.5
    assert THRESHOLDS.probability(5000.0, "user") == pytest.approx(1.0)
    assert THRESHOLDS.probability(-5000.0, "user") == pytest.approx(0.0)


def test_shipped_thresholds_name_every_role(tmp_path: Path) -> None:
    assert Thresholds.load().of_role.keys() == ROLE_WORDS.keys()
    broken = tmp_path / "thresholds.json"
    broken.write_text(json.dumps({"user": 1.0}))
    with pytest.raises(ValueError, match=r"thresholds\.json must have a threshold for each of user, tool"):
        Thresholds.load(broken)


def test_cancelled_request_stops_between_windows() -> None:
    scorer = ScriptedScorer()
    with pytest.raises(Cancelled):
        scorer.detector().probability("word " * 3 * WINDOW, cancelled=lambda: len(scorer.windows) == 2)
    assert len(scorer.windows) == 2


def test_batched_guard_gives_each_text_its_worst_window() -> None:
    scorer = ScriptedScorer()
    texts = ["an attack", "word " * 3 * WINDOW + "odd", "word", "odd", ""]
    found = scorer.batch_detector().probabilities(texts, ["user", "user", "user", "tool", "user"])
    assert [each > 0.5 for each in found] == [True, True, False, False, False]
    assert scorer.batch_detector().probabilities([], []) == []


def test_cancelled_batched_request_stops() -> None:
    scorer = ScriptedScorer()
    with pytest.raises(Cancelled):
        scorer.batch_detector().probabilities(["word"], ["user"], lambda: True)
    assert scorer.windows == []

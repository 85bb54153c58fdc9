"""The default guard: the probability that a text of any length is an attack. Used by model.py, and by batching.py."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from triton_models.errors import Cancelled
from triton_models.guard.scorer import Scorer
from triton_models.guard.window_tokens import DEFAULT_ROLE, ROLE_WORDS
from triton_models.guard.windows import windows

# Tokens. The model was trained on windows of this size: in a longer one, a single sentence of attack is lost.
WINDOW, OVERLAP = 128, 24
_THRESHOLDS: Final = Path(__file__).with_name("thresholds.json")


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The score at which a text of each role counts as an attack. training/guard_thresholds.py calibrates them."""

    of_role: Mapping[str, float]

    @classmethod
    def load(cls, path: Path = _THRESHOLDS) -> Thresholds:
        """Reads thresholds.json. Raises ValueError if a role has none."""
        of_role = json.loads(path.read_text(encoding="utf-8"))
        if set(of_role) != set(ROLE_WORDS):
            raise ValueError(f"{path.name} must have a threshold for each of {', '.join(ROLE_WORDS)}")
        return cls({role: float(score) for role, score in of_role.items()})

    def probability(self, score: float, role: str) -> float:
        """Returns the probability of attack: 0.5 at the threshold."""
        margin = score - self.of_role.get(role, self.of_role[DEFAULT_ROLE])
        return 1 / (1 + math.exp(-max(-30.0, min(30.0, margin))))


class Detector:
    """The scorer over every window of a text. The most suspicious window decides."""

    def __init__(self, scorer: Scorer, thresholds: Thresholds) -> None:
        self._scorer = scorer
        self._thresholds = thresholds

    @classmethod
    def load(cls, directory: Path, threads: int = 1) -> Detector:
        """Loads the prepared folder of the guard."""
        return cls(Scorer(directory, threads), Thresholds.load())

    def probability(self, text: str, role: str = DEFAULT_ROLE, cancelled: Callable[[], bool] = lambda: False) -> float:
        """Returns the probability of attack, the maximum over the windows. Raises Cancelled between two windows."""
        worst = 0.0
        for window in windows(text, self._scorer.tokens.spans, WINDOW, OVERLAP):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            worst = max(worst, self._thresholds.probability(self._scorer.score(window, role), role))
        return worst

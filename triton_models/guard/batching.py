"""The default guard on a GPU: reads the windows of many texts in batches. Used by model.py.

Windows and their joint verdict are as in detector.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from triton_models.errors import Cancelled
from triton_models.guard.detector import OVERLAP, WINDOW, Thresholds
from triton_models.guard.scorer import Scorer
from triton_models.guard.windows import windows
from triton_models.padded_batches import batches


class BatchDetector:
    """The scorer over every window of every text."""

    def __init__(self, scorer: Scorer, thresholds: Thresholds) -> None:
        self._scorer = scorer
        self._thresholds = thresholds

    @classmethod
    def load(cls, directory: Path, threads: int = 1, gpu: int | None = None) -> BatchDetector:
        """Loads the folder of the guard, whose graph must support batches."""
        return cls(Scorer(directory, threads, gpu), Thresholds.load())

    def probabilities(
        self, texts: Sequence[str], roles: Sequence[str], cancelled: Callable[[], bool] = lambda: False
    ) -> list[float]:
        """Returns the probability of attack of each text, the maximum over its windows. Raises Cancelled."""
        cut = [
            (index, self._scorer.tokens.ids(window, role))
            for index, (text, role) in enumerate(zip(texts, roles, strict=True))
            for window in windows(text, self._scorer.tokens.spans, WINDOW, OVERLAP)
        ]
        worst = [0.0] * len(texts)
        for batch in batches([len(ids) for _, ids in cut]):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            scores = self._scorer.scores([cut[index][1] for index in batch])
            for index, score in zip(batch, scores, strict=True):
                text = cut[index][0]
                worst[text] = max(worst[text], self._thresholds.probability(float(score), roles[text]))
        return worst

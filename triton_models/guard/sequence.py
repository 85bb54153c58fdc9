"""A guard of the user's choice: a sequence classifier over every window of a text. Used by model.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from triton_models.guard.windows import windows
from triton_models.sequence import SequenceClassifier, open_tokenizer

# Of the tokens that such a model reads at once: an attack of up to a sixth of a window is whole in one.
_OVERLAP_SHARE: Final = 6
# What frames a text: one token before it, one behind it.
_FRAME: Final = 2


class SequenceGuard:
    """Probabilities of attack of texts of any length; the most suspicious window decides."""

    def __init__(self, directory: Path, positive: str, max_tokens: int, threads: int, gpu: int | None) -> None:
        self._classifier = SequenceClassifier(directory, positive, max_tokens, threads, gpu)
        self._tokenizer = open_tokenizer(directory)
        self._window = max_tokens - _FRAME

    def probabilities(self, texts: Sequence[str], cancelled: Callable[[], bool] = lambda: False) -> list[float]:
        """One for each text. Raises Cancelled when `cancelled` says so."""
        cut = [
            (place, window)
            for place, text in enumerate(texts)
            for window in windows(text, self._spans, self._window, self._window // _OVERLAP_SHARE)
        ]
        worst = [0.0] * len(texts)
        judged = self._classifier.probabilities([window for _, window in cut], cancelled)
        for (place, _), probability in zip(cut, judged, strict=True):
            worst[place] = max(worst[place], probability)
        return worst

    def _spans(self, text: str) -> Sequence[tuple[int, int]]:
        offsets: Sequence[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

"""A guard of the user's choice: a sequence classifier over every window of a text. Used by model.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from tokenizers import Tokenizer

from triton_models.guard.windows import windows
from triton_models.sequence_classifier import SequenceClassifier, open_tokenizer

# What frames a text: one token before it, one behind it.
_FRAME: Final = 2
_OVERLAP_SHARE: Final = 3


class Classifier(Protocol):
    """What judges a window; SequenceClassifier is one."""

    def probabilities(self, items: Sequence[str], cancelled: Callable[[], bool]) -> list[float]:
        """One for each."""


class SequenceGuard:
    """Probabilities of attack of texts of any length; the most suspicious window decides."""

    def __init__(self, classifier: Classifier, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._classifier = classifier
        self._tokenizer = tokenizer
        # Half of what the model reads: cut out, a slice may have up to twice the tokens that it has inside the text.
        self._window = (max_tokens - _FRAME) // 2

    @classmethod
    def load(cls, directory: Path, positive: str, max_tokens: int, threads: int, gpu: int | None) -> SequenceGuard:
        """From a folder of the transformers library."""
        classifier = SequenceClassifier(directory, positive, max_tokens, threads, gpu)
        return cls(classifier, open_tokenizer(directory), max_tokens)

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

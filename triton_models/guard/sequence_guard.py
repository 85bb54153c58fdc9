"""A guard that the user chooses: a sequence classifier over every window of a text. Used by model.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from tokenizers import Tokenizer

from triton_models.guard.windows import windows
from triton_models.sequence_classifier import SequenceClassifier, open_tokenizer

# Special tokens around a text: one before it, one after it.
_SPECIAL_TOKENS: Final = 2
_OVERLAP_DIVISOR: Final = 3


class Classifier(Protocol):
    """The interface of a classifier of windows. SequenceClassifier implements it."""

    def probabilities(self, items: Sequence[str], cancelled: Callable[[], bool]) -> list[float]:
        """Returns one probability per item."""


class SequenceGuard:
    """Probabilities of attack of texts of any length. The most suspicious window decides."""

    def __init__(self, classifier: Classifier, tokenizer: Tokenizer, max_tokens: int) -> None:
        self._classifier = classifier
        self._tokenizer = tokenizer
        # Half of the model's limit: a slice can have up to twice as many tokens as the same part inside the text.
        self._window = (max_tokens - _SPECIAL_TOKENS) // 2

    @classmethod
    def load(cls, directory: Path, positive: str, max_tokens: int, threads: int, gpu: int | None) -> SequenceGuard:
        """Loads a folder of the transformers library."""
        classifier = SequenceClassifier(directory, positive, max_tokens, threads, gpu)
        return cls(classifier, open_tokenizer(directory), max_tokens)

    def probabilities(self, texts: Sequence[str], cancelled: Callable[[], bool] = lambda: False) -> list[float]:
        """Returns one probability per text. Raises Cancelled between two batches once `cancelled` returns true."""
        cut = [
            (index, window)
            for index, text in enumerate(texts)
            for window in windows(text, self._spans, self._window, self._window // _OVERLAP_DIVISOR)
        ]
        worst = [0.0] * len(texts)
        judged = self._classifier.probabilities([window for _, window in cut], cancelled)
        for (index, _), probability in zip(cut, judged, strict=True):
            worst[index] = max(worst[index], probability)
        return worst

    def _spans(self, text: str) -> Sequence[tuple[int, int]]:
        offsets: Sequence[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

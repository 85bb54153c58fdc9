"""The default guard: the probability that a text of any length is an attack. Used by model.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from triton_models.embed.encoder import Encoder
from triton_models.errors import Cancelled
from triton_models.guard.classifier import Classifier
from triton_models.guard.head import Head, load_head
from triton_models.guard.windows import windows

# Sizes in NanoGuard's tokens. MiniLM has fewer for the same text, so both models read a window completely. MiniLM alone
# reads long windows, which are the cheapest per token, and clears most of them. The others are judged again in short
# windows: a single sentence of attack is lost in a long one, with or without pooling over tokens. Recall on generated
# attacks within documents: .56 with windows of 192 tokens, .52 with 96, .80 with 64.
WINDOW, OVERLAP = 192, 32
CLOSE_WINDOW, CLOSE_OVERLAP = 64, 20


class Detector:
    """MiniLM and NanoGuard over every window, combined by the trained head. The most suspicious window decides."""

    def __init__(self, encoder: Encoder, classifier: Classifier, head: Head) -> None:
        self._encoder = encoder
        self._classifier = classifier
        self._head = head

    @classmethod
    def load(cls, encoder: Path, classifier: Path, head: Path, threads: int = 1) -> Detector:
        """Loads the prepared folders of both models, and head.json."""
        return cls(Encoder(encoder, threads), Classifier(classifier, threads), load_head(head))

    def windows(self, text: str) -> Iterator[str]:
        """Yields the long windows of `text`."""
        return windows(text, self._classifier.spans, WINDOW, OVERLAP)

    def probability(self, text: str, role: str = "user", cancelled: Callable[[], bool] = lambda: False) -> float:
        """Returns the probability of attack, the maximum over the windows. Raises Cancelled between two windows."""
        del role
        worst = 0.0
        for window in self.windows(text):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            worst = max(worst, self.probability_of(window))
        return worst

    def probability_of(self, window: str) -> float:
        """Returns the probability of attack of one long window. NanoGuard reads it only if MiniLM does not clear it."""
        embedding, hidden = self._encoder.read(window)
        first, pooled = self._head.first(embedding, hidden)
        if first < self._head.skip:
            # At most 0.5: the head's first part can clear a window, but cannot block it.
            return min(0.5, self._head.probability(first))
        close = list(windows(window, self._classifier.spans, CLOSE_WINDOW, CLOSE_OVERLAP))
        if len(close) > 1:
            return max(self._close(each) for each in close)
        return self._head.probability(self._head.score(embedding, pooled, self._classifier.judge(window)))

    def _close(self, window: str) -> float:
        embedding, hidden = self._encoder.read(window)
        _, pooled = self._head.first(embedding, hidden)
        return self._head.probability(self._head.score(embedding, pooled, self._classifier.judge(window)))

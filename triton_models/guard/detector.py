"""The guard: a text of any length in, its probability of being an attack out. Used by model.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from triton_models.embed.encoder import Encoder
from triton_models.errors import Cancelled
from triton_models.guard.classifier import Classifier
from triton_models.guard.head import Head, load_head
from triton_models.guard.windows import windows

# In NanoGuard's tokens; MiniLM's are fewer, so that both read a window whole. Short, because one sentence of attack
# drowns in a long window: of attacks at the end of a document, 64 tokens found .42 and 32 find .55.
WINDOW = 32
OVERLAP = 12


class Detector:
    """MiniLM and NanoGuard over every window, joined by the trained head; the most suspicious window decides."""

    def __init__(self, encoder: Encoder, classifier: Classifier, head: Head) -> None:
        self._encoder = encoder
        self._classifier = classifier
        self._head = head

    @classmethod
    def load(cls, encoder: Path, classifier: Path, head: Path, threads: int = 1) -> Detector:
        """From the prepared folders of both models, and head.json."""
        return cls(Encoder(encoder, threads), Classifier(classifier, threads), load_head(head))

    def windows(self, text: str) -> Iterator[str]:
        """The windows of `text`."""
        return windows(text, self._classifier.spans, WINDOW, OVERLAP)

    def probability(self, text: str, cancelled: Callable[[], bool] = lambda: False) -> float:
        """Of attack: the maximum over the windows. Raises Cancelled when `cancelled` says so before the last one."""
        worst = 0.0
        for window in self.windows(text):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            worst = max(
                worst, self._head.probability(self._encoder.encode(window), self._classifier.judge(window).logit)
            )
        return worst

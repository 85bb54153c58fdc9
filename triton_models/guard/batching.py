"""The default guard on a GPU: reads the windows of many texts in batches. Used by model.py.

Windows and their joint verdict are as in detector.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from triton_models.embed.batching import BatchEncoder
from triton_models.errors import Cancelled
from triton_models.guard.classifier import Classifier, Judgement
from triton_models.guard.detector import CLOSE_OVERLAP, CLOSE_WINDOW, OVERLAP, WINDOW
from triton_models.guard.head import Head, load_head
from triton_models.guard.windows import windows
from triton_models.padded_batches import batches, padded

Stop = Callable[[], bool]

# Short windows whose token states are in memory at the same time, some 60 MB.
_MAX_CLOSE_WINDOWS: Final = 256


class BatchClassifier(Classifier):
    """NanoGuard over many texts, with a graph that has an attention mask."""

    def judge_all(self, texts: Sequence[str], cancelled: Stop) -> Iterator[tuple[int, Judgement]]:
        """Yields the index of each text and its judgement, in any order. Raises Cancelled between two batches."""
        rows = [self._ids(text) for text in texts]
        for batch in batches([len(row) for row in rows]):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            ids, mask = padded([rows[index] for index in batch])
            outputs = self._session.run(["logits", "pooled", "hidden"], {"input_ids": ids, "attention_mask": mask})
            for index, logits, pooled, hidden in zip(batch, *outputs, strict=True):
                logit = float(logits[1]) - float(logits[0])
                yield index, Judgement(logit, pooled, hidden[: len(rows[index])])


class BatchDetector:
    """MiniLM and NanoGuard over every window of every text, combined by the trained head."""

    def __init__(self, encoder: BatchEncoder, classifier: BatchClassifier, head: Head) -> None:
        self._encoder = encoder
        self._classifier = classifier
        self._head = head

    @classmethod
    def load(cls, encoder: Path, classifier: Path, head: Path, threads: int, gpu: int | None) -> BatchDetector:
        """Loads the folders of both models, whose graphs must support batches, and head.json."""
        return cls(BatchEncoder(encoder, threads, gpu=gpu), BatchClassifier(classifier, threads, gpu), load_head(head))

    def probabilities(
        self, texts: Sequence[str], roles: Sequence[str] = (), cancelled: Stop = lambda: False
    ) -> list[float]:
        """Returns the probability of attack of each text, the maximum over its windows. Raises Cancelled."""
        del roles
        worst = [0.0] * len(texts)
        long = self._cut(enumerate(texts), WINDOW, OVERLAP)
        not_cleared: list[tuple[int, str]] = []
        for index, embedding, hidden in self._encoder.read_all([window for _, window in long], cancelled):
            text, window = long[index]
            first, _ = self._head.first(embedding, hidden)
            if first < self._head.skip:
                # At most 0.5: the head's first part can clear a window, but cannot block it.
                worst[text] = max(worst[text], min(0.5, self._head.probability(first)))
            else:
                not_cleared.append((text, window))
        for text, probability in self._close_probabilities(not_cleared, cancelled):
            worst[text] = max(worst[text], probability)
        return worst

    def _close_probabilities(
        self, not_cleared: Sequence[tuple[int, str]], cancelled: Stop
    ) -> Iterator[tuple[int, float]]:
        """Yields the text's index and the probability by both models, for each short window of the long windows."""
        close = self._cut(not_cleared, CLOSE_WINDOW, CLOSE_OVERLAP)
        for start in range(0, len(close), _MAX_CLOSE_WINDOWS):
            part = close[start : start + _MAX_CLOSE_WINDOWS]
            short = [window for _, window in part]
            judged = dict(self._classifier.judge_all(short, cancelled))
            for index, embedding, hidden in self._encoder.read_all(short, cancelled):
                _, pooled = self._head.first(embedding, hidden)
                score = self._head.score(embedding, pooled, judged[index])
                yield part[index][0], self._head.probability(score)

    def _cut(self, texts: Iterable[tuple[int, str]], size: int, overlap: int) -> list[tuple[int, str]]:
        """Returns the windows of texts, each with the index of its text."""
        spans = self._classifier.spans
        return [(index, window) for index, text in texts for window in windows(text, spans, size, overlap)]

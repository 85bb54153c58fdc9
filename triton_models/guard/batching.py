"""The guard on a GPU: the windows of many texts, read in batches. Used by model.py.

What a text's windows are and which of them decides is as in detector.py.
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

# Short windows whose token states are kept at the same time, some 60 MB.
_AT_ONCE: Final = 256


class BatchClassifier(Classifier):
    """NanoGuard over many texts, with the graph whose attention is told what is padding."""

    def judge_all(self, texts: Sequence[str], cancelled: Stop) -> Iterator[tuple[int, Judgement]]:
        """Each text's place and what NanoGuard makes of it, in any order. Raises Cancelled between two batches."""
        rows = [self._ids(text) for text in texts]
        for places in batches([len(row) for row in rows]):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            ids, mask = padded([rows[place] for place in places])
            found = self._session.run(["logits", "pooled", "hidden"], {"input_ids": ids, "attention_mask": mask})
            for place, logits, pooled, hidden in zip(places, *found, strict=True):
                logit = float(logits[1]) - float(logits[0])
                yield place, Judgement(logit, pooled, hidden[: len(rows[place])])


class BatchDetector:
    """MiniLM and NanoGuard over every window of every text, joined by the trained head."""

    def __init__(self, encoder: BatchEncoder, classifier: BatchClassifier, head: Head) -> None:
        self._encoder = encoder
        self._classifier = classifier
        self._head = head

    @classmethod
    def load(cls, encoder: Path, classifier: Path, head: Path, threads: int, gpu: int | None) -> BatchDetector:
        """From the folders of both models, made for batches, and head.json."""
        return cls(BatchEncoder(encoder, threads, gpu=gpu), BatchClassifier(classifier, threads, gpu), load_head(head))

    def probabilities(self, texts: Sequence[str], cancelled: Stop = lambda: False) -> list[float]:
        """Of attack, each the maximum over the text's windows. Raises Cancelled when `cancelled` says so."""
        worst = [0.0] * len(texts)
        long = self._cut(enumerate(texts), WINDOW, OVERLAP)
        left_open: list[tuple[int, str]] = []
        for place, embedding, hidden in self._encoder.read_all([window for _, window in long], cancelled):
            text, window = long[place]
            first, _ = self._head.first(embedding, hidden)
            if first < self._head.skip:
                # Never over one half: a first part that is not sure of harm cannot find any.
                worst[text] = max(worst[text], min(0.5, self._head.probability(first)))
            else:
                left_open.append((text, window))
        for text, probability in self._closely(left_open, cancelled):
            worst[text] = max(worst[text], probability)
        return worst

    def _closely(self, left_open: Sequence[tuple[int, str]], cancelled: Stop) -> Iterator[tuple[int, float]]:
        """What both models together say of the short windows of what MiniLM left open."""
        close = self._cut(left_open, CLOSE_WINDOW, CLOSE_OVERLAP)
        for start in range(0, len(close), _AT_ONCE):
            part = close[start : start + _AT_ONCE]
            short = [window for _, window in part]
            judged = dict(self._classifier.judge_all(short, cancelled))
            for place, embedding, hidden in self._encoder.read_all(short, cancelled):
                _, pooled = self._head.first(embedding, hidden)
                score = self._head.score(embedding, pooled, judged[place])
                yield part[place][0], self._head.probability(score)

    def _cut(self, texts: Iterable[tuple[int, str]], size: int, overlap: int) -> list[tuple[int, str]]:
        """The windows of texts, each beside the place of its text."""
        spans = self._classifier.spans
        return [(place, window) for place, text in texts for window in windows(text, spans, size, overlap)]

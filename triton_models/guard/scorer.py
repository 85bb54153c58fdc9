"""The default guard's encoder: one score for a window of text and its role. Used by detector.py and batching.py.

controlplane/models/convert/guard.py makes its graph, training/guard_fit.py its weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from triton_models.guard.window_tokens import WindowTokenizer
from triton_models.onnx_session import FloatArray, open_session
from triton_models.padded_batches import padded


class Scorer:
    """Scores of windows of text: the higher, the more like an attack."""

    def __init__(self, directory: Path, threads: int = 1, gpu: int | None = None) -> None:
        self._session = open_session(directory, threads, gpu)
        self.tokens = WindowTokenizer(directory / "tokenizer.json")

    def score(self, window: str, role: str) -> float:
        """Returns the score of one window. int8 activations share one scale, so windows are never padded together."""
        return float(self.scores([self.tokens.ids(window, role)])[0])

    def scores(self, rows: Sequence[Sequence[int]]) -> FloatArray:
        """Returns the scores of one batch of windows, given as token ids, FP32 [rows]."""
        ids, mask = padded(rows)
        scores: FloatArray = self._session.run(["score"], {"input_ids": ids, "attention_mask": mask})[0]
        return scores

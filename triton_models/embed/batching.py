"""A sentence encoder that reads many texts in padded batches. Used by `embed` on a GPU.

It needs a graph in FP16 or FP32 whose attention mask excludes padding, so that the texts of a batch are independent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from triton_models.embed.encoder import Encoder
from triton_models.errors import Cancelled
from triton_models.onnx_session import FloatArray
from triton_models.padded_batches import batches, padded


class BatchEncoder(Encoder):
    """Sentence embeddings of many texts. Raises Cancelled before a batch once `cancelled` returns true."""

    def encode_all(self, texts: Sequence[str], cancelled: Callable[[], bool]) -> FloatArray:
        """Returns the embeddings, FP32 [texts, width]."""
        embeddings = np.zeros((len(texts), self._settings.width), dtype=np.float32)
        for batch, rows in self._batches(texts, cancelled):
            embeddings[batch] = self._vectors(*padded(rows))
        return embeddings

    def _batches(
        self, texts: Sequence[str], cancelled: Callable[[], bool]
    ) -> Iterator[tuple[list[int], list[list[int]]]]:
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        for batch in batches([len(row) for row in rows]):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            yield batch, [rows[index] for index in batch]

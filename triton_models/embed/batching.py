"""A sentence encoder that reads many texts at once, padded into batches. Used by `embed` and `guard` on a GPU.

For graphs whose mask keeps padding out, as FP16 and FP32 ones can: a text's vector does not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from triton_models.embed.encoder import Encoder
from triton_models.errors import Cancelled
from triton_models.onnx_session import FloatArray
from triton_models.padded_batches import batches, padded


class BatchEncoder(Encoder):
    """Sentence embeddings of many texts. `cancelled` is asked before each batch; then Cancelled is raised."""

    def encode_all(self, texts: Sequence[str], cancelled: Callable[[], bool]) -> FloatArray:
        """The embeddings, FP32 [texts, width]."""
        embeddings = np.zeros((len(texts), self._form.width), dtype=np.float32)
        for places, rows in self._batches(texts, cancelled):
            embeddings[places] = self._vectors(*padded(rows))
        return embeddings

    def read_all(
        self, texts: Sequence[str], cancelled: Callable[[], bool]
    ) -> Iterator[tuple[int, FloatArray, FloatArray]]:
        """Each text's place, embedding [width] and states [tokens, width], in any order.

        One batch's at a time: those of a long text together would fill the memory.
        """
        for places, rows in self._batches(texts, cancelled):
            embeddings, hidden = self._run(*padded(rows))
            for place, row, embedding, states in zip(places, rows, embeddings, hidden, strict=True):
                yield place, embedding, states[: len(row)]

    def _batches(
        self, texts: Sequence[str], cancelled: Callable[[], bool]
    ) -> Iterator[tuple[list[int], list[list[int]]]]:
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        for places in batches([len(row) for row in rows]):
            if cancelled():
                raise Cancelled("the caller no longer waits")
            yield places, [rows[place] for place in places]

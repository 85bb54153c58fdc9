"""A sentence encoder: one text in, one unit vector out. Used by the model `embed`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from triton_models.onnx_session import FloatArray, open_session
from triton_models.padded_batches import Ids

WIDTH: Final = 384
_INPUTS: Final = {"input_ids", "attention_mask", "token_type_ids"}


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """The properties of an encoder that its files do not have. The defaults are all-MiniLM-L6-v2's.

    `pooling` makes a text's vector from its token states: `mean`, `cls` (the first token), or `none` for a graph that
    outputs the normalised vector. Tokens after `max_tokens` are not read.
    """

    pooling: str = "none"
    width: int = WIDTH
    max_tokens: int = 256  # what MiniLM was trained with

    def __post_init__(self) -> None:
        if self.pooling not in {"mean", "cls", "none"}:
            raise ValueError(f"pooling must be mean, cls or none, not {self.pooling!r}")


class Encoder:
    """Sentence embeddings, one text at a time.

    Texts are never padded into one batch. The int8 activations of a tensor share one scale, so another text of the
    batch would change an embedding, and with it a verdict. On CPUs a batch gains only 0 to 15 %. batching.py is for
    GPUs and for graphs without int8.
    """

    def __init__(
        self, directory: Path, threads: int = 1, settings: EncoderSettings | None = None, gpu: int | None = None
    ) -> None:
        self._settings = settings or EncoderSettings()
        self._session = open_session(directory, threads, gpu)
        self._inputs = {each.name for each in self._session.get_inputs()}
        if unknown := self._inputs - _INPUTS:
            raise ValueError(
                f"the graph in {directory} is not an encoder: it has the inputs {', '.join(sorted(unknown))}"
            )
        self._pooled = self._output(2, directory) if self._settings.pooling == "none" else None
        self._hidden = self._output(3, directory)
        if self._pooled is None and self._hidden is None:
            raise ValueError(f"the graph in {directory} outputs neither vectors nor token states")
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._settings.max_tokens)

    def _output(self, rank: int, directory: Path) -> str | None:
        """Returns the name of the first output [batch, width] (rank 2) or [batch, tokens, width] (rank 3), if any."""
        for each in self._session.get_outputs():
            if len(each.shape) == rank:
                if isinstance(each.shape[-1], int) and each.shape[-1] != self._settings.width:
                    raise ValueError(f"{each.name} in {directory} is {each.shape[-1]} wide, not {self._settings.width}")
                return str(each.name)
        return None

    def encode(self, text: str) -> FloatArray:
        """Returns the embedding of `text`: FP32 [width], L2 norm 1."""
        embedding: FloatArray = self._vectors(self._ids(text))[0]
        return embedding

    def _ids(self, text: str) -> Ids:
        return np.array([self._tokenizer.encode(text).ids], dtype=np.int64)

    def _feed(self, ids: Ids, mask: Ids | None = None) -> dict[str, Any]:
        tensors = {"input_ids": ids, "attention_mask": np.ones_like(ids) if mask is None else mask}
        # Every token belongs to the first sentence.
        return tensors | ({"token_type_ids": np.zeros_like(ids)} if "token_type_ids" in self._inputs else {})

    def _vectors(self, ids: Ids, mask: Ids | None = None) -> FloatArray:
        """Returns embeddings [batch, width]."""
        feed = self._feed(ids, mask)
        if self._pooled is None:
            return self._pool(self._session.run([self._hidden], feed)[0], feed["attention_mask"])
        embeddings: FloatArray = self._session.run([self._pooled], feed)[0]
        return embeddings

    def _pool(self, hidden: npt.NDArray[Any], mask: Ids) -> FloatArray:
        states: FloatArray = hidden.astype(np.float32)
        if self._settings.pooling == "cls":
            vectors = states[:, 0]
        else:
            weights = mask[:, :, None].astype(np.float32)
            vectors = (states * weights).sum(axis=1) / weights.sum(axis=1)
        unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

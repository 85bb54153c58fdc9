"""A sentence encoder: one text in, one unit vector out. Used by the models `embed` and `guard`."""

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
class Form:
    """What is to know of an encoder besides its files. The defaults are all-MiniLM-L6-v2's.

    `pooling`: how a text's vector comes from its tokens' states: `mean`, `cls` (the first token's) or `none`, where the
    graph gives it normalised. What lies behind `max_tokens` is not read.
    """

    pooling: str = "none"
    width: int = WIDTH
    max_tokens: int = 256  # what MiniLM was trained with

    def __post_init__(self) -> None:
        if self.pooling not in {"mean", "cls", "none"}:
            raise ValueError(f"pooling must be mean, cls or none, not {self.pooling!r}")


class Encoder:
    """Sentence embeddings, one text at a time.

    Texts are never padded into one batch: int8 activations share one scale a tensor, so a neighbour in the batch would
    change a text's embedding, and with it a verdict. On CPUs a batch gains 0 to 15 % only. On a GPU, and for graphs
    without int8: batching.py.
    """

    def __init__(self, directory: Path, threads: int = 1, form: Form | None = None, gpu: int | None = None) -> None:
        self._form = form or Form()
        self._session = open_session(directory, threads, gpu)
        self._inputs = {each.name for each in self._session.get_inputs()}
        if unknown := self._inputs - _INPUTS:
            raise ValueError(f"the graph in {directory} asks for {', '.join(sorted(unknown))}: that is no encoder")
        self._pooled = self._output(2, directory) if self._form.pooling == "none" else None
        self._hidden = self._output(3, directory)
        if self._pooled is None and self._hidden is None:
            raise ValueError(f"the graph in {directory} gives neither vectors nor the states of tokens")
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._form.max_tokens)

    def _output(self, rank: int, directory: Path) -> str | None:
        """The graph's first output [batch, width] (rank 2) or [batch, tokens, width] (rank 3), where it has one."""
        for each in self._session.get_outputs():
            if len(each.shape) == rank:
                if isinstance(each.shape[-1], int) and each.shape[-1] != self._form.width:
                    raise ValueError(f"{each.name} in {directory} is {each.shape[-1]} wide, not {self._form.width}")
                return str(each.name)
        return None

    def encode(self, text: str) -> FloatArray:
        """The embedding of `text`: FP32 [width], L2 norm 1."""
        embedding: FloatArray = self._vectors(self._ids(text))[0]
        return embedding

    def read(self, text: str) -> tuple[FloatArray, FloatArray]:
        """The embedding, and the state of each token behind it: FP32 [width] and [tokens, width]."""
        embedding, hidden = self._run(self._ids(text))
        return embedding[0], hidden[0]

    def _ids(self, text: str) -> Ids:
        return np.array([self._tokenizer.encode(text).ids], dtype=np.int64)

    def _feed(self, ids: Ids, mask: Ids | None = None) -> dict[str, Any]:
        tensors = {"input_ids": ids, "attention_mask": np.ones_like(ids) if mask is None else mask}
        # One sentence, so every token is of the first one.
        return tensors | ({"token_type_ids": np.zeros_like(ids)} if "token_type_ids" in self._inputs else {})

    def _vectors(self, ids: Ids, mask: Ids | None = None) -> FloatArray:
        """Embeddings [batch, width]."""
        feed = self._feed(ids, mask)
        if self._pooled is None:
            return self._pool(self._session.run([self._hidden], feed)[0], feed["attention_mask"])
        embeddings: FloatArray = self._session.run([self._pooled], feed)[0]
        return embeddings

    def _run(self, ids: Ids, mask: Ids | None = None) -> tuple[FloatArray, FloatArray]:
        """Embeddings [batch, width] and states [batch, tokens, width]."""
        feed = self._feed(ids, mask)
        if self._pooled is None:
            (hidden,) = self._session.run([self._hidden], feed)
            return self._pool(hidden, feed["attention_mask"]), hidden
        embeddings, hidden = self._session.run([self._pooled, self._hidden], feed)
        return embeddings, hidden

    def _pool(self, hidden: npt.NDArray[Any], mask: Ids) -> FloatArray:
        states: FloatArray = hidden.astype(np.float32)
        if self._form.pooling == "cls":
            vectors = states[:, 0]
        else:
            weights = mask[:, :, None].astype(np.float32)
            vectors = (states * weights).sum(axis=1) / weights.sum(axis=1)
        unit: FloatArray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit

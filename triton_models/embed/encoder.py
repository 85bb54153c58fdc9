"""all-MiniLM-L6-v2: one text in, one unit vector out. Used by the models `embed` and `guard`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]
from tokenizers import Tokenizer

FloatArray = npt.NDArray[np.float32]

WIDTH = 384
MAX_TOKENS = 256  # what the model was trained with; a longer text is cut there, its end unread


def open_session(directory: Path, threads: int) -> onnxruntime.InferenceSession:
    """The ONNX graph in a prepared folder, on the CPU, with so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(directory / "model.onnx"), options, providers=["CPUExecutionProvider"])


class Encoder:
    """Sentence embeddings, one text at a time.

    Texts are never padded into one batch: int8 activations share one scale a tensor, so a neighbour in the batch would
    change a text's embedding, and with it a verdict. On CPUs a batch gains 0 to 15 % only.
    """

    def __init__(self, directory: Path, threads: int = 1) -> None:
        self._session = open_session(directory, threads)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)

    def encode(self, text: str) -> FloatArray:
        """The embedding of `text`: FP32 [384], L2 norm 1."""
        embedding: FloatArray = self._session.run(["embedding"], self._inputs(text))[0][0]
        return embedding

    def read(self, text: str) -> tuple[FloatArray, FloatArray]:
        """The embedding, and the state of each token behind it: FP32 [384] and [tokens, 384]."""
        embedding, hidden = self._session.run(["embedding", "hidden"], self._inputs(text))
        return embedding[0], hidden[0]

    def _inputs(self, text: str) -> dict[str, npt.NDArray[np.int64]]:
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

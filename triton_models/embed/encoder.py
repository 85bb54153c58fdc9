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
        ids = np.array([self._tokenizer.encode(text).ids], dtype=np.int64)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        embedding: FloatArray = self._session.run(None, inputs)[0][0]
        return embedding

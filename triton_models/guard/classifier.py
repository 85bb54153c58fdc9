"""NanoGuard, a classifier of prompt injections: logits and token states of one text. Used by detector.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from triton_models.onnx_session import FloatArray, open_session

MAX_TOKENS = 512  # with the leading token
WIDTH = 512
_BOS_TOKEN = "<|reserved_0|>"  # noqa: S105 - a token of the vocabulary


@dataclass(frozen=True, slots=True)
class Judgement:
    """`logit`: attack minus harmless. `pooled` [512]: the vector behind it. `hidden` [tokens, 512]: token states."""

    logit: float
    pooled: FloatArray
    hidden: FloatArray


class Classifier:
    """Prompt-injection logits of one text at a time, without padding: its attention would read padding as text."""

    def __init__(self, directory: Path, threads: int = 1, gpu: int | None = None) -> None:
        self._session = open_session(directory, threads, gpu)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        bos = self._tokenizer.token_to_id(_BOS_TOKEN)
        if bos is None:
            raise ValueError(f"the tokenizer in {directory} has no token {_BOS_TOKEN}")
        self._bos = bos

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Returns the start and end of each token of `text`, in characters."""
        offsets: Sequence[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

    def judge(self, text: str) -> Judgement:
        """Judges the first 511 tokens of `text`."""
        inputs = {"input_ids": np.array(self._ids(text), dtype=np.int64)}
        logits, pooled, hidden = self._session.run(["logits", "pooled", "hidden"], inputs)
        return Judgement(float(logits[1]) - float(logits[0]), pooled, hidden)

    def _ids(self, text: str) -> list[int]:
        return [self._bos, *self._tokenizer.encode(text, add_special_tokens=False).ids][:MAX_TOKENS]

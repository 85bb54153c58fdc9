"""NanoGuard: one text in, what it makes of it out. Used by detector.py."""

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
    """`logit`: attack minus harmless; `pooled` [512]: what it is made of; `hidden` [tokens, 512]: each token's part."""

    logit: float
    pooled: FloatArray
    hidden: FloatArray


class Classifier:
    """Prompt-injection logits, one text at a time and unpadded: its attention sees padding as text."""

    def __init__(self, directory: Path, threads: int = 1, gpu: int | None = None) -> None:
        self._session = open_session(directory, threads, gpu)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        bos = self._tokenizer.token_to_id(_BOS_TOKEN)
        if bos is None:
            raise ValueError(f"{directory} holds a tokenizer without {_BOS_TOKEN}")
        self._bos = bos

    def spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Where each token of `text` begins and ends, in characters."""
        offsets: Sequence[tuple[int, int]] = self._tokenizer.encode(text, add_special_tokens=False).offsets
        return offsets

    def judge(self, text: str) -> Judgement:
        """What lies behind 511 tokens is not read."""
        inputs = {"input_ids": np.array(self._ids(text), dtype=np.int64)}
        logits, pooled, hidden = self._session.run(["logits", "pooled", "hidden"], inputs)
        return Judgement(float(logits[1]) - float(logits[0]), pooled, hidden)

    def _ids(self, text: str) -> list[int]:
        return [self._bos, *self._tokenizer.encode(text, add_special_tokens=False).ids][:MAX_TOKENS]

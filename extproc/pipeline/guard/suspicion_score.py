"""Ranks the chunks of a long text by suspicion, so that the guard's models read the most suspicious ones. Pure.

Used by evaluator.py and prepared_texts.py. A linear score over words, word pairs and word triples, hashed into one
table (Weinberger et al. 2009). It costs a thousandth of what the models cost and decides only the order of the chunks.
The table is trained by training/guard_suspicion_score.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt

# Bits of an index into the table.
TABLE_BITS: Final = 18
# Words that are scored together: half a sentence. In a longer window, harmless words outweigh an attack.
WINDOW_WORDS: Final = 12

_WORD: Final = re.compile(r"[a-z']{1,24}|[0-9]{1,8}|\w|[^\w\s]")
_MASK: Final = (1 << TABLE_BITS) - 1
# Odd constants that mix the bits of a hash (Knuth, Steele et al.).
_PAIR: Final = np.uint64(0x9E3779B97F4A7C15)
_TRIPLE: Final = np.uint64(0xBF58476D1CE4E5B9)
_HIGH: Final = np.uint64(64 - TABLE_BITS)

FeatureIndices = npt.NDArray[np.int64]


@lru_cache(maxsize=65_536)
def _hash(word: str) -> int:
    return crc32(word.encode(errors="replace"))


def feature_indices(text: str) -> FeatureIndices:
    """Returns the table indices of each word of `text`, and of the pair and the triple that start with it.

    Shape [words, 3]. Pairs and triples that the text is too short for have index 0, the empty feature.
    """
    words = np.array([_hash(word) for word in _WORD.findall(text.lower())], dtype=np.uint64)
    indices = np.zeros((len(words), 3), dtype=np.int64)
    indices[:, 0] = words & np.uint64(_MASK)
    if len(words) > 1:
        pairs = words[:-1] * _PAIR + words[1:]
        indices[:-1, 1] = (pairs * _TRIPLE) >> _HIGH
        if len(words) > 2:
            indices[:-2, 2] = ((pairs[:-1] * _TRIPLE + words[2:]) * _PAIR) >> _HIGH
    return indices


@dataclass(frozen=True, slots=True)
class SuspicionScorer:
    """`weights`: int8 [2^TABLE_BITS]."""

    weights: npt.NDArray[np.int8]

    def score(self, chunk: str) -> int:
        """Returns the score of the most suspicious WINDOW_WORDS words. Only comparable with scores of other chunks."""
        scores = self.weights[feature_indices(chunk)].sum(axis=1, dtype=np.int64)
        if len(scores) <= WINDOW_WORDS:
            return int(scores.sum())
        sums = np.concatenate(([0], np.cumsum(scores)))
        return int((sums[WINDOW_WORDS:] - sums[:-WINDOW_WORDS]).max())


def load() -> SuspicionScorer:
    """Loads the trained table next to this module."""
    with (
        files("extproc.pipeline.guard").joinpath("suspicion_score.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        return SuspicionScorer(arrays["weights"])

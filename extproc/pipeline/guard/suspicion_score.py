"""The first pass over a long text: which of its pieces are most like an attack, so that the guard's models read those.

A linear score over the words of a piece and their pairs and triples, hashed into one table (Weinberger et al. 2009).
It costs a thousandth of what the models cost, and decides nothing but their order. Written by
training/guard_suspicion_score.py, used by reading.py. Pure.
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
BITS: Final = 18
# Words that are scored together: half a sentence, since an attack drowns in more.
WINDOW: Final = 12

_WORD: Final = re.compile(r"[a-z']{1,24}|[0-9]{1,8}|\w|[^\w\s]")
_MASK: Final = (1 << BITS) - 1
# Odd constants that spread the bits of a hash (Knuth, Steele et al.).
_PAIR: Final = np.uint64(0x9E3779B97F4A7C15)
_TRIPLE: Final = np.uint64(0xBF58476D1CE4E5B9)
_HIGH: Final = np.uint64(64 - BITS)

Places = npt.NDArray[np.int64]


@lru_cache(maxsize=65_536)
def _hash(word: str) -> int:
    return crc32(word.encode(errors="replace"))


def places(text: str) -> Places:
    """Where the table holds the weights of each word of `text`, of the pair and of the triple that begin with it.

    Shape [words, 3]; at the end, where a pair or triple lacks words, the weight of the empty feature, 0.
    """
    words = np.array([_hash(word) for word in _WORD.findall(text.lower())], dtype=np.uint64)
    found = np.zeros((len(words), 3), dtype=np.int64)
    found[:, 0] = words & np.uint64(_MASK)
    if len(words) > 1:
        pairs = words[:-1] * _PAIR + words[1:]
        found[:-1, 1] = (pairs * _TRIPLE) >> _HIGH
        if len(words) > 2:
            found[:-2, 2] = ((pairs[:-1] * _TRIPLE + words[2:]) * _PAIR) >> _HIGH
    return found


@dataclass(frozen=True, slots=True)
class Scan:
    """`weights` int8 [2^BITS]."""

    weights: npt.NDArray[np.int8]

    def score(self, piece: str) -> int:
        """That of the piece's most suspicious WINDOW words; comparable among pieces, and nothing else."""
        found = self.weights[places(piece)].sum(axis=1, dtype=np.int64)
        if len(found) <= WINDOW:
            return int(found.sum())
        sums = np.concatenate(([0], np.cumsum(found)))
        return int((sums[WINDOW:] - sums[:-WINDOW]).max())


def load() -> Scan:
    """The trained table that lies beside this file."""
    with (
        files("extproc.pipeline.guard").joinpath("suspicion_score.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as found,
    ):
        return Scan(found["weights"])

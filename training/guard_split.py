"""Splits the guard's texts into folds by hash, and clusters similar texts. Used by guard_texts.py."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

FOLDS = 7

_SHINGLE = 6  # words
_MIN_SHARED = 0.25  # share of the shorter text's shingles that makes two texts similar


def hash_fraction(text: str) -> float:
    """Returns a number in [0, 1) from the text's hash: a draw that does not depend on other texts."""
    return _hash(text) / 2**256


def fold(text: str) -> int:
    """Returns the fold of a text, from its hash."""
    return _hash(text) % FOLDS


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)


def clusters(texts: Sequence[str]) -> list[int]:
    """Returns for each text the index of the first text of its cluster: similar directly or through other texts."""
    parents = list(range(len(texts)))

    def first(index: int) -> int:
        while parents[index] != index:
            index = parents[index]
        return index

    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    sizes = []
    for index, text in enumerate(texts):
        words = text.lower().split()
        shingles = {tuple(words[start : start + _SHINGLE]) for start in range(max(1, len(words) - _SHINGLE + 1))}
        sizes.append(len(shingles))
        shared = Counter(other for shingle in shingles for other in holders[shingle])
        for other, count in shared.items():
            if count >= _MIN_SHARED * min(sizes[index], sizes[other]):
                low, high = sorted((first(index), first(other)))
                parents[high] = low
        for shingle in shingles:
            holders[shingle].append(index)
    return [first(index) for index in range(len(texts))]

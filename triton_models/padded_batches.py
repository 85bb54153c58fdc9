"""Which texts are read together, and how they become one tensor. Pure; used where a GPU reads many at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

# With padding. More brings a GPU nothing, and takes its memory: attention alone is tokens x longest text x heads.
MOST_TOKENS: Final = 16_384


def batches(lengths: Sequence[int], most_tokens: int = MOST_TOKENS) -> Iterator[list[int]]:
    """Places in `lengths`, each once: those of like length together, so that little is padding, the shortest first."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[place] > most_tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[Ids, Ids]:
    """Token ids [batch, tokens] and the mask: 1 for a token, 0 for padding. What is masked may have any id."""
    ids = np.full((len(rows), max(len(row) for row in rows)), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask

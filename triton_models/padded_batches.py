"""Groups texts into batches, and pads a batch to one tensor. Pure. Used where many texts are read at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]

# Tokens of a batch, padding included. More do not speed up a GPU, but need its memory: attention alone is tokens x
# longest text x heads.
MAX_TOKENS: Final = 16_384


def batches(lengths: Sequence[int], max_tokens: int = MAX_TOKENS) -> Iterator[list[int]]:
    """Yields batches of indices of `lengths`, from short to long. Similar lengths are together, with little padding."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * lengths[index] > max_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def padded(rows: Sequence[Sequence[int]], pad: int = 0) -> tuple[Ids, Ids]:
    """Returns token ids [batch, tokens] and the attention mask: 1 for a token, 0 for padding (the id `pad`)."""
    ids = np.full((len(rows), max(len(row) for row in rows)), pad, dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask

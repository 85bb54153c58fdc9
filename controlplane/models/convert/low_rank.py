"""Adds trained low-rank factors to a model's weights (Hu et al. 2021): weight + up @ down. Used by minilm.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from controlplane.models.convert.graph import FloatArray


def merge(tensors: Mapping[str, FloatArray], factors: Path) -> dict[str, FloatArray]:
    """Returns the weights with the factors added.

    `factors`: an npz of FP16 arrays, `NAME/up` [out, rank] and `NAME/down` [rank, in] for each changed weight NAME
    [out, in]. Raises KeyError for the name of a weight that is missing, and ValueError for another shape.
    """
    merged = dict(tensors)
    with np.load(factors, allow_pickle=False) as arrays:
        for name in sorted({key.rpartition("/")[0] for key in arrays.files}):
            up, down = (arrays[f"{name}/{side}"].astype(np.float32) for side in ("up", "down"))
            weight = merged[name].copy()
            if weight.shape != (len(up), down.shape[1]):
                raise ValueError(f"the factors of {name} make {(len(up), down.shape[1])}, the weight is {weight.shape}")
            # One product at a time: a matrix product rounds differently on other machines, and the catalogue pins the
            # hash of what is made.
            for column, row in zip(up.T, down, strict=True):
                weight += column[:, None] * row
            merged[name] = weight
    return merged

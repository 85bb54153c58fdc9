"""Merges a trained low-rank adapter (LoRA, Hu et al. 2021) into the weights that it was trained for.

An adapter is an npz file. For each adapted matrix `NAME.weight` [out, in] it has `NAME.up` [out, rank] and `NAME.down`
[rank, in], INT16 in steps of 2^-16; every other array replaces the tensor of its name, or is new. Products of such
steps are exact in FP64 in any order of summation, so that the merged weights have the same bytes on every machine.
Used by guard.py and minilm.py, and by the training scripts.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from controlplane.models.convert.graph import FloatArray

STEP: Final = 2.0**-16
_UP, _DOWN = ".up", ".down"


def merged(tensors: Mapping[str, FloatArray], adapter: Path) -> dict[str, FloatArray]:
    """Returns the tensors with the adapter merged, FP32. Raises KeyError if it adapts a matrix that is not there."""
    with np.load(adapter, allow_pickle=False) as arrays:
        found = {name: arrays[name] for name in arrays.files}
    result = dict(tensors)
    for name, array in found.items():
        if name.endswith(_UP):
            matrix = name.removesuffix(_UP)
            weight = f"{matrix}.weight"
            result[weight] = _adapted(tensors[weight], array, found[matrix + _DOWN])
        elif not name.endswith(_DOWN):
            result[name] = array.astype(np.float32)
    return result


def _adapted(weight: FloatArray, up: npt.NDArray[Any], down: npt.NDArray[Any]) -> FloatArray:
    delta = (up.astype(np.float64) @ down.astype(np.float64)) * STEP**2
    return (weight.astype(np.float64) + delta).astype(np.float32)


def factors(matrix: str, up: FloatArray, down: FloatArray) -> dict[str, npt.NDArray[np.int16]]:
    """Returns the two arrays of an adapter file for the matrix `NAME` of `NAME.weight`.

    Raises ValueError if the product needs values beyond the range of the fixed point.
    """
    # A power of two, so that both factors use the range alike.
    scale = 2.0 ** np.round(np.log2(np.sqrt(np.abs(down).max() / np.abs(up).max())))
    return {matrix + _UP: _fixed_point(up * scale), matrix + _DOWN: _fixed_point(down / scale)}


def _fixed_point(factor: FloatArray) -> npt.NDArray[np.int16]:
    steps = np.rint(factor.astype(np.float64) / STEP)
    if not np.abs(steps).max() <= np.iinfo(np.int16).max:
        raise ValueError("a factor of an adapter is too large for 16 bits")
    rounded: npt.NDArray[np.int16] = steps.astype(np.int16)
    return rounded

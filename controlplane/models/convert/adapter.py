"""Merges a trained low-rank adapter (LoRA, Hu et al. 2021) into the weights that it was trained for. Used by guard.py.

An adapter is an npz file. For each adapted matrix `NAME.weight` [out, in] it has `NAME.up` [out, rank] and `NAME.down`
[rank, in], INT16 in steps of 2^-16; every other array replaces the tensor of its name, or is new. Products of such
steps are exact in FP64 in any order of summation, so that the merged weights have the same bytes on every machine.
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


def quantised(factor: FloatArray) -> npt.NDArray[np.int16]:
    """Returns a factor in steps of 2^-16. Raises ValueError if a value is not within -0.5 and 0.5."""
    steps = np.rint(factor.astype(np.float64) / STEP)
    if np.abs(steps).max() > np.iinfo(np.int16).max:
        raise ValueError("a factor of an adapter is too large for 16 bits")
    rounded: npt.NDArray[np.int16] = steps.astype(np.int16)
    return rounded

"""Reads the two pickles of NanoGuard's package without trusting them. Used by nanoguard.py.

A pickle is a program. Its globals are refused, except a short list that maps to inert stand-ins of ours: nothing of
torch, tiktoken or any other package is imported or called.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from controlplane.models.convert.graph import FloatArray


class UntrustedPickleError(ValueError):
    """The pickle uses a global that a file of tensors, or a vocabulary, does not need."""


@dataclass(frozen=True, slots=True)
class Tiktoken:
    """A tiktoken encoding: the pre-tokenizer's regular expression, byte strings by rank, special tokens by id."""

    pattern: str
    ranks: Mapping[bytes, int]
    special: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Storage:
    kind: str
    values: bytes


class _RestrictedUnpickler(pickle.Unpickler):
    def __init__(self, data: bytes, allowed: Mapping[tuple[str, str], object], archive: _Archive | None = None) -> None:
        super().__init__(io.BytesIO(data))
        self._allowed = allowed
        self._archive = archive

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[module, name]
        except KeyError:
            raise UntrustedPickleError(f"refusing the global {module}.{name}") from None

    def persistent_load(self, pid: Any) -> _Storage:
        if self._archive is None or not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise UntrustedPickleError(f"refusing the persistent id {pid!r}")
        return _Storage(pid[1], self._archive.storage(pid[2]))


class _Archive:
    """torch's zip file: data.pkl, and one entry per storage."""

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._root = next(name for name in file.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
        if file.read(self._root + "byteorder") != b"little":
            raise UntrustedPickleError("only little-endian checkpoints are read")

    def pickle(self) -> bytes:
        return self._file.read(self._root + "data.pkl")

    def storage(self, key: str) -> bytes:
        return self._file.read(f"{self._root}data/{key}")


def _tensor(
    storage: _Storage, offset: int, size: tuple[int, ...], stride: tuple[int, ...], _grad: bool, _hooks: object
) -> FloatArray:
    """Stand-in for torch._utils._rebuild_tensor_v2. Returns contiguous FP32 and BF16 tensors as FP32."""
    count = int(np.prod(size))
    contiguous = tuple(int(np.prod(size[axis + 1 :])) for axis in range(len(size)))
    if tuple(stride) != contiguous:
        raise UntrustedPickleError("only contiguous tensors are read")
    if storage.kind == "float":
        return np.frombuffer(storage.values, dtype="<f4", count=count, offset=offset * 4).reshape(size)
    # BF16 is the upper half of FP32.
    halves = np.frombuffer(storage.values, dtype="<u2", count=count, offset=offset * 2)
    return (halves.astype(np.uint32) << np.uint32(16)).view(np.float32).reshape(size)


def load_tensors(checkpoint: Path) -> dict[str, FloatArray]:
    """Returns the `model_state_dict` of a torch checkpoint."""
    allowed = {
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch", "FloatStorage"): "float",
        ("torch", "BFloat16Storage"): "bfloat16",
        ("collections", "OrderedDict"): OrderedDict,
    }
    with zipfile.ZipFile(checkpoint) as file:
        archive = _Archive(file)
        content = _RestrictedUnpickler(archive.pickle(), allowed, archive).load()
    tensors = content["model_state_dict"]
    return {str(name): np.asarray(tensor, dtype=np.float32) for name, tensor in tensors.items()}


class _Encoding:
    """Stand-in for tiktoken.core.Encoding: keeps the state, has no behaviour."""

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        self.state = dict(state)


def load_tiktoken(pickled: Path) -> Tiktoken:
    """Returns the pickled tiktoken encoding."""
    encoding = _RestrictedUnpickler(pickled.read_bytes(), {("tiktoken.core", "Encoding"): _Encoding}).load()
    if not isinstance(encoding, _Encoding):
        raise UntrustedPickleError("the pickle holds no tiktoken encoding")
    state = encoding.state
    return Tiktoken(str(state["pat_str"]), state["mergeable_ranks"], state["special_tokens"])

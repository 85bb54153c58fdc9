import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from controlplane.models.convert.checkpoint import UntrustedPickleError, load_tensors, load_tiktoken


class _Program:
    """Pickles into a call of os.system."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os  # noqa: PLC0415

        return os.system, ("touch /tmp/must-not-exist",)


def _zip(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", content)
        archive.writestr("m/byteorder", "little")
        archive.writestr("m/data/0", np.array([1.0, 2.0, 3.0, 4.0], dtype="<f4").tobytes())
        archive.writestr("m/data/1", bytes.fromhex("803f"))
    return path


def test_refuses_code_in_a_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UntrustedPickleError, match="system"):
        load_tensors(_zip(tmp_path / "model.pt", pickle.dumps({"model_state_dict": _Program()})))


def test_refuses_code_in_a_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.pkl"
    path.write_bytes(pickle.dumps(_Program()))
    with pytest.raises(UntrustedPickleError):
        load_tiktoken(path)


def test_refuses_pickle_without_encoding(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UntrustedPickleError):
        load_tiktoken(path)


def _checkpoint(size: tuple[int, ...], stride: tuple[int, ...], kind: str, key: str) -> bytes:
    """A torch checkpoint of one tensor, written opcode by opcode as torch does, without torch."""

    def numbers(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(b"K" + bytes([value]) for value in values) + b"t"

    return b"".join(
        (
            b"\x80\x02}X\x10\x00\x00\x00model_state_dict}X\x01\x00\x00\x00tctorch._utils\n_rebuild_tensor_v2\n(",
            b"(X\x07\x00\x00\x00storagectorch\n" + kind.encode() + b"\nX\x01\x00\x00\x00" + key.encode(),
            b"X\x03\x00\x00\x00cpuK\x04tQK\x00" + numbers(size) + numbers(stride),
            b"\x89ccollections\nOrderedDict\n)RtRss.",
        )
    )


def test_tensors_are_read(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.pt", _checkpoint((2, 2), (2, 1), "FloatStorage", "0"))
    np.testing.assert_array_equal(load_tensors(path)["t"], [[1, 2], [3, 4]])
    path = _zip(tmp_path / "b.pt", _checkpoint((1,), (1,), "BFloat16Storage", "1"))
    np.testing.assert_array_equal(load_tensors(path)["t"], [1.0])


def test_refuses_non_contiguous_tensor(tmp_path: Path) -> None:
    path = _zip(tmp_path / "a.pt", _checkpoint((2, 2), (1, 2), "FloatStorage", "0"))
    with pytest.raises(UntrustedPickleError, match="contiguous"):
        load_tensors(path)

"""Low-rank factors added to a model's weights."""

from pathlib import Path

import numpy as np
import pytest

from controlplane.models.convert.low_rank import merge


def factors(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **{name.replace("__", "/"): array.astype(np.float16) for name, array in arrays.items()})
    return path


def test_factors_are_added_to_their_weight_alone(tmp_path: Path) -> None:
    tensors = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 3), np.float32)}
    path = factors(tmp_path / "f.npz", a__up=np.array([[1, 0], [0, 2]]), a__down=np.array([[1, 2, 3], [4, 5, 6]]))
    merged = merge(tensors, path)
    assert merged["a"].tolist() == [[2, 3, 4], [9, 11, 13]]
    assert merged["b"] is tensors["b"]
    assert tensors["a"].tolist() == [[1, 1, 1], [1, 1, 1]]


def test_factors_of_another_model_are_refused(tmp_path: Path) -> None:
    path = factors(tmp_path / "f.npz", a__up=np.ones((2, 1)), a__down=np.ones((1, 4)))
    with pytest.raises(ValueError, match="the factors of a make"):
        merge({"a": np.ones((2, 3), np.float32)}, path)
    with pytest.raises(KeyError):
        merge({"b": np.ones((2, 3), np.float32)}, path)

"""Merging of low-rank adapters."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from controlplane.models.convert.adapter import STEP, factors, merged

RANDOM = np.random.default_rng(1)
WEIGHT = RANDOM.normal(size=(6, 4)).astype(np.float32)
UP = RANDOM.uniform(-0.4, 0.4, size=(6, 3)).astype(np.float32)
DOWN = RANDOM.uniform(-0.4, 0.4, size=(3, 4)).astype(np.float32)


def _write(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    np.savez(path, **arrays)


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    path = tmp_path / "adapter.npz"
    new = np.array([1.5], np.float32)
    _write(path, {**factors("layer", UP, DOWN), "layer.bias": new, "head.out": new})
    return path


def test_product_of_the_factors_is_added(adapter: Path) -> None:
    result = merged({"layer.weight": WEIGHT, "layer.bias": np.zeros(1, np.float32)}, adapter)
    np.testing.assert_allclose(result["layer.weight"], WEIGHT + UP @ DOWN, atol=4 * STEP)
    assert result["layer.bias"] == result["head.out"] == 1.5
    assert set(result) == {"layer.weight", "layer.bias", "head.out"}


def test_merged_weights_do_not_depend_on_the_order_of_summation(adapter: Path, tmp_path: Path) -> None:
    reversed_path = tmp_path / "reversed.npz"
    _write(reversed_path, dict(factors("layer", UP[:, ::-1], DOWN[::-1])))
    one, other = (merged({"layer.weight": WEIGHT}, path)["layer.weight"] for path in (adapter, reversed_path))
    assert one.tobytes() == other.tobytes()


def test_unknown_matrix_is_refused(adapter: Path) -> None:
    with pytest.raises(KeyError, match=r"layer\.weight"):
        merged({}, adapter)


def test_factors_share_the_range() -> None:
    found = factors("layer", 100 * UP, DOWN / 100)
    product = (found["layer.up"].astype(np.float64) @ found["layer.down"]) * STEP**2
    np.testing.assert_allclose(product, UP @ DOWN, atol=4 * STEP)


def test_factor_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match="too large for 16 bits"):
        factors("layer", 9 * UP, DOWN)

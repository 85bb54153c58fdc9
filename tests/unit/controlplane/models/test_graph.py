import numpy as np
import onnxruntime  # type: ignore[import-untyped]
from onnx import TensorProto

from controlplane.models.convert.graph import Graph


def _build(weight: np.ndarray[tuple[int, ...], np.dtype[np.float32]], *, half: bool = False) -> bytes:
    graph = Graph(half=half)
    y = graph.linear("layer", "x", weight, np.ones(len(weight), dtype=np.float32))
    return graph.serialise("test", {"x": (TensorProto.FLOAT, ("rows", 8))}, {graph.rename(y, "y"): ("rows", 3)})


def test_an_int8_product_is_near_the_exact_one() -> None:
    random = np.random.default_rng(0)
    weight, x = (random.normal(size=(rows, 8)).astype(np.float32) for rows in (3, 5))
    session = onnxruntime.InferenceSession(_build(weight), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ weight.T + 1, atol=0.15)


def test_fp16_product_is_close_to_the_exact_one() -> None:
    random = np.random.default_rng(0)
    weight, x = (random.normal(size=(rows, 8)).astype(np.float32) for rows in (3, 5))
    session = onnxruntime.InferenceSession(_build(weight, half=True), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"x": x})[0], x @ weight.T + 1, atol=0.01)


def test_column_of_zeros_is_not_divided_by_zero() -> None:
    session = onnxruntime.InferenceSession(_build(np.zeros((3, 8), np.float32)), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(session.run(None, {"x": np.ones((1, 8), np.float32)})[0], np.ones((1, 3)))


def test_the_same_weights_give_the_same_bytes() -> None:
    weight = np.arange(24, dtype=np.float32).reshape(3, 8)
    assert _build(weight) == _build(weight)

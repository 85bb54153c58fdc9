"""The check of a server's model against the signature of its role."""

from __future__ import annotations

import pytest

from extproc.inference.kserve import ModelMetadata, TensorMetadata
from extproc.inference.model_signature import SIGNATURES, max_texts, mismatch, optional_inputs, reports_compute_time
from extproc.shared.roles import COMPUTE_NS, Role

TEXT = TensorMetadata("TEXT", "BYTES", (-1, 1))
PROB = TensorMetadata("PROB", "FP32", (-1, 1))


@pytest.mark.parametrize("role", list(Role))
def test_accepts_a_model_with_the_tensors_of_its_role(role: Role) -> None:
    signature = SIGNATURES[role]
    assert mismatch(role, ModelMetadata(signature.inputs, (signature.output,))) is None


@pytest.mark.parametrize(
    "found",
    [
        ModelMetadata((TEXT,), (PROB, TensorMetadata("LOGITS", "FP32", (-1, 2)))),
        ModelMetadata((TensorMetadata("TEXT", "BYTES", (-1, -1)),), (TensorMetadata("PROB", "FP32", (-1, -1)),)),
        ModelMetadata((TensorMetadata("TEXT", "BYTES", (1, 1)),), (TensorMetadata("PROB", "FP32", (1, 1)),)),
    ],
)
def test_accepts_extra_outputs_and_variable_sizes(found: ModelMetadata) -> None:
    assert mismatch(Role.GUARD, found) is None


@pytest.mark.parametrize(
    "found",
    [
        ModelMetadata((), (PROB,)),
        ModelMetadata((TensorMetadata("PROMPT", "BYTES", (-1, 1)),), (PROB,)),
        ModelMetadata((TensorMetadata("TEXT", "INT64", (-1, 1)),), (PROB,)),
        ModelMetadata((TensorMetadata("TEXT", "BYTES", (-1,)),), (PROB,)),
        ModelMetadata((TEXT,), (TensorMetadata("PROB", "FP16", (-1, 1)),)),
        ModelMetadata((TEXT,), (TensorMetadata("PROB", "FP32", (-1, 2)),)),
    ],
)
def test_refuses_another_name_datatype_or_shape(found: ModelMetadata) -> None:
    assert mismatch(Role.GUARD, found) is not None


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (TensorMetadata("ROLE", "BYTES", (-1, 1)), ("ROLE",)),
        (TensorMetadata("ROLE", "INT64", (-1, 1)), ()),
        (TensorMetadata("ROLE", "BYTES", (-1,)), ()),
        (TensorMetadata("LANGUAGE", "BYTES", (-1, 1)), ()),
    ],
)
@pytest.mark.parametrize("role", [Role.GUARD, Role.TOXICITY])
def test_finds_the_optional_inputs_of_a_guard(role: Role, tensor: TensorMetadata, found: tuple[str, ...]) -> None:
    metadata = ModelMetadata((tensor, TEXT), (PROB,))
    assert mismatch(role, metadata) is None
    assert optional_inputs(role, metadata) == found
    assert optional_inputs(Role.EMBED, metadata) == ()


def test_mismatch_names_expected_and_found_tensors() -> None:
    found = ModelMetadata((TEXT,), (TensorMetadata("LABEL", "INT64", (-1, 3)),))
    assert mismatch(Role.GUARD, found) == (
        "expected inputs TEXT BYTES [-1, 1], outputs PROB FP32 [-1, 1]; "
        "found inputs TEXT BYTES [-1, 1], outputs LABEL INT64 [-1, 3]"
    )


@pytest.mark.parametrize(
    ("shape", "max_batch_size", "most"), [((-1, 1), 0, None), ((-1, 1), 4, 4), ((1, 1), 0, 1), ((1, 1), 4, 1)]
)
def test_server_limits_the_texts_of_a_call(shape: tuple[int, ...], max_batch_size: int, most: int) -> None:
    assert max_texts(ModelMetadata((TensorMetadata("TEXT", "BYTES", shape),), (PROB,), max_batch_size)) == most


def test_detects_the_output_for_the_compute_time() -> None:
    assert reports_compute_time(ModelMetadata((TEXT,), (PROB, TensorMetadata(COMPUTE_NS, "INT64", (-1, 1)))))
    assert not reports_compute_time(ModelMetadata((TEXT,), (PROB, TensorMetadata(COMPUTE_NS, "FP32", (-1, 1)))))
    assert not reports_compute_time(ModelMetadata((TEXT,), (PROB,)))

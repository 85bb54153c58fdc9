"""Whether a model that a server describes is one of its role."""

from __future__ import annotations

import pytest

from extproc.inference.kserve import Description, Tensor
from extproc.inference.model_signature import COMPUTE_NS, SIGNATURES, is_timed, mismatch, most_texts
from extproc.shared.filter_config import Role

TEXT = Tensor("TEXT", "BYTES", (-1, 1))
PROB = Tensor("PROB", "FP32", (-1, 1))


@pytest.mark.parametrize("role", list(Role))
def test_a_model_with_the_tensors_of_its_role_fits(role: Role) -> None:
    wanted = SIGNATURES[role]
    assert mismatch(role, Description(wanted.inputs, (wanted.output,))) is None


@pytest.mark.parametrize(
    "found",
    [
        Description((TEXT,), (PROB, Tensor("LOGITS", "FP32", (-1, 2)))),
        Description((Tensor("TEXT", "BYTES", (-1, -1)),), (Tensor("PROB", "FP32", (-1, -1)),)),
        Description((Tensor("TEXT", "BYTES", (1, 1)),), (Tensor("PROB", "FP32", (1, 1)),)),
    ],
)
def test_more_outputs_and_other_sizes_where_any_will_do_fit_too(found: Description) -> None:
    assert mismatch(Role.GUARD, found) is None


@pytest.mark.parametrize(
    "found",
    [
        Description((), (PROB,)),
        Description((Tensor("PROMPT", "BYTES", (-1, 1)),), (PROB,)),
        Description((Tensor("TEXT", "INT64", (-1, 1)),), (PROB,)),
        Description((Tensor("TEXT", "BYTES", (-1,)),), (PROB,)),
        Description((TEXT,), (Tensor("PROB", "FP16", (-1, 1)),)),
        Description((TEXT,), (Tensor("PROB", "FP32", (-1, 2)),)),
    ],
)
def test_another_name_datatype_or_shape_is_a_mismatch(found: Description) -> None:
    assert mismatch(Role.GUARD, found) is not None


def test_a_mismatch_shows_what_was_expected_and_what_was_found() -> None:
    found = Description((TEXT,), (Tensor("LABEL", "INT64", (-1, 3)),))
    assert mismatch(Role.GUARD, found) == (
        "expected inputs TEXT BYTES [-1, 1], outputs PROB FP32 [-1, 1]; "
        "found inputs TEXT BYTES [-1, 1], outputs LABEL INT64 [-1, 3]"
    )


@pytest.mark.parametrize(
    ("shape", "max_batch_size", "most"), [((-1, 1), 0, None), ((-1, 1), 4, 4), ((1, 1), 0, 1), ((1, 1), 4, 1)]
)
def test_a_call_carries_as_many_texts_as_the_server_says(
    shape: tuple[int, ...], max_batch_size: int, most: int
) -> None:
    assert most_texts(Description((Tensor("TEXT", "BYTES", shape),), (PROB,), max_batch_size)) == most


def test_a_model_says_how_long_it_computed_where_it_has_the_output_for_it() -> None:
    assert is_timed(Description((TEXT,), (PROB, Tensor(COMPUTE_NS, "INT64", (-1, 1)))))
    assert not is_timed(Description((TEXT,), (PROB, Tensor(COMPUTE_NS, "FP32", (-1, 1)))))
    assert not is_timed(Description((TEXT,), (PROB,)))

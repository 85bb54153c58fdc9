"""The tensors that the model of each role must have, and the check of a server's model against them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.inference.kserve import ModelMetadata, TensorMetadata
from extproc.shared.roles import COMPUTE_NS, ROLES, Role, RoleSpec


@dataclass(frozen=True, slots=True)
class Signature:
    """The first dimension of each tensor is the number of texts, except for a decoupled model, which takes one."""

    inputs: tuple[TensorMetadata, ...]
    output: TensorMetadata

    def __str__(self) -> str:
        return _text(self.inputs, (self.output,))


def _signature(spec: RoleSpec) -> Signature:
    texts = () if spec.is_decoupled else (-1,)
    return Signature(
        tuple(TensorMetadata(name, "BYTES", (*texts, 1)) for name in spec.inputs),
        TensorMetadata(spec.output, spec.output_datatype, (*texts, spec.output_width)),
    )


SIGNATURES: Final[Mapping[Role, Signature]] = {role: _signature(spec) for role, spec in ROLES.items()}


def mismatch(role: Role, metadata: ModelMetadata) -> str | None:
    """Returns the expected and the found tensors if they differ, else None. Extra tensors are ignored."""
    expected = SIGNATURES[role]
    if all(_has(metadata.inputs, each) for each in expected.inputs) and _has(metadata.outputs, expected.output):
        return None
    return f"expected {expected}; found {_text(metadata.inputs, metadata.outputs)}"


def optional_inputs(role: Role, metadata: ModelMetadata) -> tuple[str, ...]:
    """Returns the optional inputs of the role that the model has, in the order of the role table.

    The shape of the role's first input fits them, too.
    """
    shape = SIGNATURES[role].inputs[0].shape
    names = ROLES[role].optional_inputs
    return tuple(name for name in names if _has(metadata.inputs, TensorMetadata(name, "BYTES", shape)))


def reports_compute_time(metadata: ModelMetadata) -> bool:
    return any(tensor.name == COMPUTE_NS and tensor.datatype == "INT64" for tensor in metadata.outputs)


def max_texts(metadata: ModelMetadata) -> int | None:
    """Returns how many texts one call may carry; None if the server sets no limit."""
    sizes = [tensor.shape[0] for tensor in metadata.inputs if tensor.shape]
    return min((size for size in (*sizes, metadata.max_batch_size) if size > 0), default=None)


def _has(tensors: Sequence[TensorMetadata], expected: TensorMetadata) -> bool:
    return any(
        tensor.name == expected.name and tensor.datatype == expected.datatype and _fits(tensor.shape, expected.shape)
        for tensor in tensors
    )


def _fits(shape: Sequence[int], expected: Sequence[int]) -> bool:
    return len(shape) == len(expected) and all(
        -1 in {size, least} or size == least for size, least in zip(shape, expected, strict=True)
    )


def _text(inputs: Sequence[TensorMetadata], outputs: Sequence[TensorMetadata]) -> str:
    columns = ", ".join(map(str, inputs)) or "none"
    return f"inputs {columns}, outputs {', '.join(map(str, outputs)) or 'none'}"

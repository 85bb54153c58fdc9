"""What tensors the model of each role must have, and whether the one that a server describes has them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.inference.kserve import Description, Tensor
from extproc.shared.filter_config import Role

# An output that any model may have besides: how long it computed for the request, one number or one a text.
COMPUTE_NS: Final = "COMPUTE_NS"


@dataclass(frozen=True, slots=True)
class Signature:
    """The first dimension of each tensor is the number of texts."""

    inputs: tuple[Tensor, ...]
    output: Tensor

    def __str__(self) -> str:
        return _said(self.inputs, (self.output,))


def _texts(*names: str) -> tuple[Tensor, ...]:
    return tuple(Tensor(name, "BYTES", (-1, 1)) for name in names)


_PROBABILITY: Final = Signature(_texts("TEXT"), Tensor("PROB", "FP32", (-1, 1)))

SIGNATURES: Final[Mapping[Role, Signature]] = {
    Role.EMBED: Signature(_texts("TEXT"), Tensor("EMBEDDING", "FP32", (-1, -1))),
    Role.NLI: Signature(_texts("PREMISE", "HYPOTHESIS"), Tensor("ENTAILMENT", "FP32", (-1, 1))),
    Role.GUARD: _PROBABILITY,
    Role.TOXICITY: _PROBABILITY,
    Role.FUNCTION: Signature(_texts("REQUEST"), Tensor("RESPONSE", "BYTES", (-1, 1))),
    # A model of many answers takes no batches.
    Role.CHAT: Signature((Tensor("REQUEST", "BYTES", (1,)),), Tensor("RESPONSE", "BYTES", (1,))),
}


def mismatch(role: Role, found: Description) -> str | None:
    """What was expected and what was found, where they differ. What a model has besides is its own affair."""
    wanted = SIGNATURES[role]
    if all(_has(found.inputs, each) for each in wanted.inputs) and _has(found.outputs, wanted.output):
        return None
    return f"expected {wanted}; found {_said(found.inputs, found.outputs)}"


def is_timed(found: Description) -> bool:
    """Whether the model says how long it computed."""
    return any(tensor.name == COMPUTE_NS and tensor.datatype == "INT64" for tensor in found.outputs)


def most_texts(found: Description) -> int | None:
    """How many texts one call may carry, where the server says so."""
    sizes = [tensor.shape[0] for tensor in found.inputs if tensor.shape]
    return min((size for size in (*sizes, found.max_batch_size) if size > 0), default=None)


def _has(tensors: Sequence[Tensor], wanted: Tensor) -> bool:
    return any(
        tensor.name == wanted.name and tensor.datatype == wanted.datatype and _fits(tensor.shape, wanted.shape)
        for tensor in tensors
    )


def _fits(found: Sequence[int], wanted: Sequence[int]) -> bool:
    return len(found) == len(wanted) and all(
        -1 in {size, least} or size == least for size, least in zip(found, wanted, strict=True)
    )


def _said(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> str:
    columns = ", ".join(map(str, inputs)) or "none"
    return f"inputs {columns}, outputs {', '.join(map(str, outputs)) or 'none'}"

"""How a server that speaks KServe v2 is asked. `triton.py` and `kserve_http.py` are its two forms."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from extproc.inference.call_failures import CallFailed, Reason

# What Triton's Python backend answers for ever once a model's process has died.
DEAD_STUB: Final = "is not healthy"
# What Triton answers for a model that it has not loaded, or that was unloaded.
UNKNOWN_MODEL: Final = "unknown model"
# What Triton answers where so many requests wait for a model that it takes no more.
FULL_QUEUE: Final = "maximum queue size"

# The request parameter that says so to a model of ours.
BULK: Final = "bulk"

# An answer is numbers or a short text; a larger one must not fill our memory, where JSON takes many times its length.
MOST_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class Question:
    """One inference. Each input is a column of BYTES, shape [N, 1].

    `timed`: `COMPUTE_NS` is asked for too. `bulk`: the model computes it behind all that is not.
    """

    model: str
    columns: Mapping[str, Sequence[bytes]]
    output: str
    timed: bool = False
    bulk: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """`raw`: the output tensor as KServe's binary form has it. `compute_ms` None: the model does not say."""

    raw: bytes
    compute_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Tensor:
    """`shape`: -1 where any size will do."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class Description:
    """What a server says of a model. `max_batch_size` 0: it does not say, or does not batch."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch_size: int = 0


@dataclass(frozen=True, slots=True)
class Statistics:
    """Means over all requests since the server started, milliseconds."""

    queue_ms: float
    compute_ms: float

    @classmethod
    def of(cls, versions: Iterable[tuple[int, int, int]]) -> Statistics | None:
        """From each version's number of requests and their nanoseconds in the queue and computing."""
        counts, queues, computes = (sum(column) for column in zip((0, 0, 0), *versions, strict=True))
        return cls(queues / counts / 1e6, computes / counts / 1e6) if counts else None


def bytes_tensor(column: Sequence[bytes]) -> bytes:
    """A BYTES tensor in binary form: the length of each element in four bytes, then itself."""
    return b"".join(struct.pack("<I", len(element)) + element for element in column)


def keyless() -> CallFailed:
    """Of a server that wants another key, or any. Its own words are not repeated: they may hold the key that it got."""
    return CallFailed(Reason.REFUSED, "the server does not accept the key of model_serving.remote.access_key")


def unready(model: str) -> CallFailed:
    """Of a server that is ready itself."""
    return CallFailed(Reason.UNLOADED, f"the server has no model called {model}, or has not loaded it")


class Transport(Protocol):
    """One server, over connections that are made once. Every method but `close` raises `CallFailed`."""

    async def infer(self, question: Question, timeout_s: float) -> Answer:
        """One inference."""

    async def reach_decoupled(self, model: str, timeout_s: float) -> None:
        """Ask a model of many answers for nothing: an answer of its own, a refusal too, says that its process lives."""

    async def live(self, timeout_s: float) -> None:
        """A round trip that computes nothing."""

    async def describe(self, model: str, timeout_s: float) -> Description:
        """Of a model that is ready; `timeout_s` each of the few calls that this takes."""

    async def statistics(self, model: str, timeout_s: float) -> Statistics | None:
        """None where the server keeps none, or the model has answered nothing yet."""

    async def unload(self, model: str) -> None:
        """End the model's processes. Does nothing where it is not loaded."""

    async def load(self, model: str) -> None:
        """Load the model as the repository has it. Does nothing where it is loaded, though its process died."""

    async def close(self) -> None:
        """Ends every connection."""

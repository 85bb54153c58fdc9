"""The client interface of a KServe v2 server, and its messages. kserve_grpc.py and kserve_http.py implement it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from extproc.inference.call_failures import CallFailed, FailureReason

# Triton's error message for a model whose process has died. It stays so until the model is loaded again.
DEAD_PROCESS: Final = "is not healthy"
# Triton's error message for a model that is not loaded.
UNKNOWN_MODEL: Final = "unknown model"
# Triton's error message for a model whose queue is full.
FULL_QUEUE: Final = "maximum queue size"

# A response is numbers or a short text. A larger one must not fill the memory: decoded JSON is many times as large.
MAX_RESPONSE_BYTES: Final = 16 << 20


@dataclass(frozen=True, slots=True)
class InferRequest:
    """One inference. Each input is a BYTES tensor of shape [N, 1], by its name.

    `with_compute_time` asks for the output `COMPUTE_NS` too. `in_background`: the model computes it with low priority.
    """

    model: str
    inputs: Mapping[str, Sequence[bytes]]
    output: str
    with_compute_time: bool = False
    in_background: bool = False


@dataclass(frozen=True, slots=True)
class InferResponse:
    """`raw`: the output tensor in KServe's binary form. `compute_ms` is None if the model does not report it."""

    raw: bytes
    compute_ms: float | None = None


@dataclass(frozen=True, slots=True)
class TensorMetadata:
    """A size of -1 in `shape` means any size."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} {self.datatype} {list(self.shape)}"


@dataclass(frozen=True, slots=True)
class ModelMetadata:
    """`max_batch_size` is 0 if the server does not batch, or does not report it."""

    inputs: tuple[TensorMetadata, ...]
    outputs: tuple[TensorMetadata, ...]
    max_batch_size: int = 0


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Means over all requests since the server started, in milliseconds."""

    queue_ms: float
    compute_ms: float

    @classmethod
    def of(cls, versions: Iterable[tuple[int, int, int]]) -> ModelStatistics | None:
        """Adds up (requests, nanoseconds in the queue, nanoseconds of computing) of each model version."""
        counts, queues, computes = (sum(column) for column in zip((0, 0, 0), *versions, strict=True))
        return cls(queues / counts / 1e6, computes / counts / 1e6) if counts else None


def bytes_tensor(column: Sequence[bytes]) -> bytes:
    """Returns a BYTES tensor in binary form: each element after its length in four bytes."""
    return b"".join(struct.pack("<I", len(element)) + element for element in column)


def unauthenticated() -> CallFailed:
    """Returns the failure of a call without the server's key. It omits the server's message, which may hold the key."""
    return CallFailed(FailureReason.REFUSED, "the server does not accept the key of model_serving.remote.access_key")


def not_loaded(model: str) -> CallFailed:
    """Returns the failure of a call to a server that is ready but does not have the model."""
    return CallFailed(FailureReason.UNLOADED, f"the server has no model called {model}, or has not loaded it")


class KServeClient(Protocol):
    """One server, over lasting connections. Every method but `close` raises `CallFailed`."""

    async def infer(self, request: InferRequest, timeout_s: float) -> InferResponse:
        """Makes one inference."""

    async def probe_decoupled(self, model: str, request: str, timeout_s: float) -> None:
        """Sends a request to a decoupled model. A response proves that its process lives, even if it is a refusal."""

    async def server_live(self, timeout_s: float) -> None:
        """Makes a round trip that computes nothing."""

    async def model_metadata(self, model: str, timeout_s: float) -> ModelMetadata:
        """Returns the metadata of a model that is ready. `timeout_s` limits each of the few calls that this takes."""

    async def model_statistics(self, model: str, timeout_s: float) -> ModelStatistics | None:
        """Returns None if the server keeps no statistics, or if the model has answered no request yet."""

    async def unload_model(self, model: str) -> None:
        """Ends the model's processes. Does nothing if it is not loaded."""

    async def load_model(self, model: str) -> None:
        """Loads the model from the repository. Does nothing if it is loaded already, even if its process died."""

    async def close(self) -> None:
        """Closes every connection."""

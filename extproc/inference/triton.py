"""The roles on a Triton server, over KServe v2 gRPC. The only module that knows Triton's client library.

It uses the library's message classes without its numpy wrappers: one call of those costs more than the round trip of a
small model.
https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/open_inference_grpc.md
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import msgspec
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from extproc.apis.chat import Message, encode_json
from extproc.contract import Inference, JsonValue
from extproc.inference.roles import Extraction, FloatVector, FunctionCall, Role, RoleUnavailable

log = logging.getLogger(__name__)

# What a Python backend answers for ever once its process has died; the server and the model go on reporting ready.
_DEAD_STUB: Final = "is not healthy"

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", 64 << 20),
    ("grpc.max_send_message_length", 64 << 20),
    # A restarted Triton is found again within a second, not after gRPC's two-minute back-off.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class _ToolCall(msgspec.Struct, frozen=True):
    name: str
    arguments: dict[str, Any]


class _FunctionAnswer(msgspec.Struct, frozen=True):
    tool_calls: tuple[_ToolCall, ...] = ()
    # A model that gives none is taken at its word.
    confidence: float = 1.0


_decode_function = msgspec.json.Decoder(_FunctionAnswer).decode


class TritonModels:
    """`Models` on one Triton server, over one connection."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._channel = grpc.aio.insecure_channel(inference.url, options=_OPTIONS)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    async def close(self) -> None:
        await self._channel.close()

    async def embed(self, text: str) -> FloatVector:
        raw = await self._infer(Role.EMBED, "TEXT", text.encode(), "EMBEDDING")
        if not raw or len(raw) % 4:
            raise RoleUnavailable(Role.EMBED, "malformed", f"EMBEDDING has {len(raw)} bytes, expected FP32s")
        return np.frombuffer(raw, dtype="<f4")

    async def attack_probability(self, text: str) -> float:
        raw = await self._infer(Role.GUARD, "TEXT", text.encode(), "PROB")
        if len(raw) != 4:
            raise RoleUnavailable(Role.GUARD, "malformed", f"PROB has {len(raw)} bytes, expected one FP32")
        probability: float = struct.unpack("<f", raw)[0]
        if not 0.0 <= probability <= 1.0:  # NaN compares false too, so it cannot slip under a threshold
            raise RoleUnavailable(Role.GUARD, "malformed", "PROB is not within 0 and 1")
        return probability

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        request = encode_json({"messages": messages, "tools": tools})
        raw = await self._infer(Role.FUNCTION, "REQUEST", request, "RESPONSE")
        try:
            answer = _decode_function(_bytes_element(raw))
        except (msgspec.DecodeError, struct.error, UnicodeDecodeError, RecursionError) as error:
            raise RoleUnavailable(Role.FUNCTION, "malformed", str(error)) from error
        calls = tuple(FunctionCall(call.name, call.arguments) for call in answer.tool_calls)
        return Extraction(calls, answer.confidence)

    async def _infer(self, role: Role, tensor: str, element: bytes, output: str) -> bytes:
        """One element in a batch of one; the raw bytes of the output tensor."""
        model = self._inference.models[role]
        request = _request(model.name, tensor, [1, 1], element, output)
        try:
            response = await self._stub.ModelInfer(request, timeout=model.timeout_ms / 1000)
        except grpc.aio.AioRpcError as error:
            raise RoleUnavailable(role, _reason(error), error.details() or error.code().name) from error
        if len(response.raw_output_contents) != 1:
            raise RoleUnavailable(role, "malformed", f"expected one output tensor, {output}")
        raw: bytes = response.raw_output_contents[0]
        return raw

    async def reach_chat(self) -> None:
        """Ask the chat model for nothing: any answer of its own, a refusal too, says that its process lives."""
        model = self._inference.models[Role.CHAT]
        request = _request(model.name, "REQUEST", [1], b"{}", "RESPONSE")
        try:
            answers = self._stub.ModelStreamInfer(iter([request]), timeout=model.timeout_ms / 1000)
            async for answer in answers:
                if _DEAD_STUB in answer.error_message:
                    raise RoleUnavailable(Role.CHAT, "dead", answer.error_message)
                return
        except grpc.aio.AioRpcError as error:
            raise RoleUnavailable(Role.CHAT, _reason(error), error.details() or error.code().name) from error
        raise RoleUnavailable(Role.CHAT, "malformed", "no answer at all")

    async def repair(self, role: Role) -> None:
        """Start a model's dead process again, where the server is ours.

        Loading a loaded model does nothing, so it is unloaded first. One worker at a time does this, and only if the
        process is still dead once it has the lock: a second reload would break the calls that the first one restored.
        """
        if self._inference.repair_lock is None:
            return
        async with _locked(Path(self._inference.repair_lock)) as first:
            if not first or not await self._is_dead(role):
                return
            name = self._inference.models[role].name
            log.warning("model process died; reloading", extra={"fields": {"model": name}})
            await self._stub.RepositoryModelUnload(
                service_pb2.RepositoryModelUnloadRequest(model_name=name), timeout=10
            )
            await self._stub.RepositoryModelLoad(service_pb2.RepositoryModelLoadRequest(model_name=name), timeout=60)
            log.warning("model reloaded", extra={"fields": {"model": name}})

    async def _is_dead(self, role: Role) -> bool:
        try:
            await probe(self, role)
        except RoleUnavailable as error:
            return error.reason == "dead"
        return False


async def probe(models: TritonModels, role: Role) -> None:
    """The cheapest real inference of a role; readiness says nothing of its process. Raises `RoleUnavailable`."""
    match role:
        # Nothing to read: each model answers at once, its process must live for that all the same.
        case Role.EMBED:
            await models.embed("")
        case Role.GUARD:
            await models.attack_probability("")
        case Role.FUNCTION:
            await models.call_functions([], [])
        case Role.CHAT:
            await models.reach_chat()


def _request(model: str, tensor: str, shape: list[int], element: bytes, output: str) -> service_pb2.ModelInferRequest:
    """One BYTES element in, one tensor out."""
    return service_pb2.ModelInferRequest(
        model_name=model,
        inputs=[service_pb2.ModelInferRequest.InferInputTensor(name=tensor, datatype="BYTES", shape=shape)],
        outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=output)],
        raw_input_contents=[struct.pack("<I", len(element)) + element],
    )


def _reason(error: grpc.aio.AioRpcError) -> str:
    if _DEAD_STUB in (error.details() or ""):
        return "dead"
    match error.code():
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return "timeout"
        case grpc.StatusCode.UNAVAILABLE:
            return "unreachable"
    return "refused"


def _bytes_element(raw: bytes) -> bytes:
    """The one element of a BYTES tensor: its length in four bytes, then itself."""
    (length,) = struct.unpack_from("<I", raw)
    return raw[4 : 4 + length]


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[bool]:
    """Whether this process holds the lock; the kernel lets go of it should the process die."""
    file = await asyncio.to_thread(path.open, "a")
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        file.close()

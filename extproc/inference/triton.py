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
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
import msgspec
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from extproc.apis.chat import Message, encode_json
from extproc.contract import Inference, JsonValue
from extproc.inference.roles import Extraction, FloatMatrix, FunctionCall, Role, RoleUnavailable

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

    async def embed(self, texts: Sequence[str]) -> FloatMatrix:
        raws = await self._batches(Role.EMBED, {"TEXT": texts}, "EMBEDDING")
        vectors = [(_floats(Role.EMBED, raw, "EMBEDDING"), count) for count, raw in raws]
        if any(numbers.size % count for numbers, count in vectors) or len({v.size // n for v, n in vectors}) != 1:
            raise RoleUnavailable(Role.EMBED, "malformed", "EMBEDDING has not one width for every text")
        return np.concatenate([numbers.reshape(count, -1) for numbers, count in vectors])

    async def attack_probabilities(self, role: Role, texts: Sequence[str]) -> tuple[float, ...]:
        return await self._probabilities(role, {"TEXT": texts}, "PROB")

    async def entailments(self, premise: str, hypotheses: Sequence[str]) -> tuple[float, ...]:
        texts = {"PREMISE": [premise] * len(hypotheses), "HYPOTHESIS": hypotheses}
        return await self._probabilities(Role.NLI, texts, "ENTAILMENT")

    async def _probabilities(self, role: Role, texts: Mapping[str, Sequence[str]], output: str) -> tuple[float, ...]:
        """One number within 0 and 1 for each text."""
        probabilities: list[float] = []
        for count, raw in await self._batches(role, texts, output):
            numbers = _floats(role, raw, output)
            if len(numbers) != count:
                raise RoleUnavailable(role, "malformed", f"{output} has {len(numbers)} numbers for {count} texts")
            # NaN compares false too, so it cannot slip under a threshold.
            if not ((numbers >= 0.0) & (numbers <= 1.0)).all():
                raise RoleUnavailable(role, "malformed", f"{output} is not within 0 and 1")
            probabilities += numbers.tolist()
        return tuple(probabilities)

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        request = encode_json({"messages": messages, "tools": tools})
        raw = await self._infer(Role.FUNCTION, {"REQUEST": [request]}, "RESPONSE")
        try:
            answer = _decode_function(_bytes_element(raw))
        except (msgspec.DecodeError, struct.error, UnicodeDecodeError, RecursionError) as error:
            raise RoleUnavailable(Role.FUNCTION, "malformed", str(error)) from error
        calls = tuple(FunctionCall(call.name, call.arguments) for call in answer.tool_calls)
        return Extraction(calls, answer.confidence)

    async def _batches(self, role: Role, texts: Mapping[str, Sequence[str]], output: str) -> list[tuple[int, bytes]]:
        """The texts of equally long tensors in as few calls as the model takes, at once.

        For each call how many texts it carried, and the raw bytes of its output tensor.
        """
        most = self._inference.models[role].max_batch
        encoded = {name: [text.encode(errors="replace") for text in column] for name, column in texts.items()}
        count = len(next(iter(encoded.values())))
        parts = [
            {name: column[start : start + most] for name, column in encoded.items()} for start in range(0, count, most)
        ]
        try:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(self._infer(role, part, output)) for part in parts]
        except* RoleUnavailable as failed:
            raise failed.exceptions[0] from None
        return [(len(next(iter(part.values()))), call.result()) for part, call in zip(parts, calls, strict=True)]

    async def _infer(self, role: Role, columns: Mapping[str, Sequence[bytes]], output: str) -> bytes:
        """One call; each input tensor is a column of BYTES, shape [N, 1]. The raw bytes of the output tensor."""
        model = self._inference.models[role]
        request = _request(model.name, columns, output)
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
        request = _request(model.name, {"REQUEST": [b"{}"]}, "RESPONSE", batched=False)
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
            await models.embed([""])
        case Role.GUARD | Role.TOXICITY:
            await models.attack_probabilities(role, [""])
        case Role.NLI:
            await models.entailments("", [""])
        case Role.FUNCTION:
            await models.call_functions([], [])
        case Role.CHAT:
            await models.reach_chat()


def _request(
    model: str, columns: Mapping[str, Sequence[bytes]], output: str, *, batched: bool = True
) -> service_pb2.ModelInferRequest:
    """BYTES columns in, one tensor out. A decoupled model takes no batches: its shape has one dimension less."""
    return service_pb2.ModelInferRequest(
        model_name=model,
        inputs=[
            service_pb2.ModelInferRequest.InferInputTensor(
                name=name, datatype="BYTES", shape=[len(column), 1] if batched else [len(column)]
            )
            for name, column in columns.items()
        ],
        outputs=[service_pb2.ModelInferRequest.InferRequestedOutputTensor(name=output)],
        raw_input_contents=[
            b"".join(struct.pack("<I", len(element)) + element for element in column) for column in columns.values()
        ],
    )


def _floats(role: Role, raw: bytes, output: str) -> FloatMatrix:
    """The FP32s of a tensor, at least one."""
    if not raw or len(raw) % 4:
        raise RoleUnavailable(role, "malformed", f"{output} has {len(raw)} bytes, expected FP32s")
    return np.frombuffer(raw, dtype="<f4")


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

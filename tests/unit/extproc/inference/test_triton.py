"""The client of the roles, against a server that speaks KServe v2 on a real socket and answers as it is told."""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from extproc.contract import Inference, Model, Role
from extproc.inference.roles import FunctionCall, RoleUnavailable
from extproc.inference.triton import TritonModels, probe

Infer = Callable[[Any, Any], Awaitable[Any]]


class FakeTriton(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    """Answers with `raw`, or as `infer` does."""

    def __init__(self) -> None:
        self.raw: list[bytes] = []
        self.asked: list[Any] = []
        self.infer: Infer | None = None

    async def ModelInfer(self, request: Any, context: Any) -> Any:  # noqa: N802 - the name in the proto
        self.asked.append(request)
        if self.infer is not None:
            return await self.infer(request, context)
        return service_pb2.ModelInferResponse(model_name=request.model_name, raw_output_contents=self.raw)


@pytest.fixture
async def triton() -> AsyncIterator[tuple[FakeTriton, TritonModels]]:
    server, servicer = grpc.aio.server(), FakeTriton()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    roles = {role: Model(name=f"my-{role}", timeout_ms=300, max_batch=2) for role in Role}
    models = TritonModels(Inference(url=f"127.0.0.1:{port}", models=roles))
    yield servicer, models
    await models.close()
    await server.stop(None)


Pair = tuple[FakeTriton, TritonModels]


def element(text: str) -> bytes:
    return struct.pack("<I", len(text.encode())) + text.encode()


async def test_a_text_travels_as_one_bytes_element_to_the_model_of_its_role(triton: Pair) -> None:
    fake, models = triton
    fake.raw = [struct.pack("<f", 0.25)]
    assert await models.attack_probabilities(Role.GUARD, ["héllo"]) == (0.25,)
    (request,) = fake.asked
    assert (request.model_name, request.inputs[0].name, list(request.inputs[0].shape)) == ("my-guard", "TEXT", [1, 1])
    assert request.raw_input_contents[0] == element("héllo")


async def test_texts_go_in_as_few_calls_as_the_model_takes_and_come_back_in_order(triton: Pair) -> None:
    fake, models = triton

    async def lengths(request: Any, _: Any) -> Any:
        count = request.inputs[0].shape[0]
        texts, raw = [], request.raw_input_contents[0]
        for _unused in range(count):
            (length,) = struct.unpack_from("<I", raw)
            texts.append(raw[4 : 4 + length])
            raw = raw[4 + length :]
        return service_pb2.ModelInferResponse(
            raw_output_contents=[b"".join(struct.pack("<f", len(text) / 10) for text in texts)]
        )

    fake.infer = lengths
    answer = await models.attack_probabilities(Role.GUARD, ["", "a", "bb", "ccc", "dddd"])
    assert answer == pytest.approx((0.0, 0.1, 0.2, 0.3, 0.4))
    assert sorted(request.inputs[0].shape[0] for request in fake.asked) == [1, 2, 2]


async def test_a_guard_that_answers_for_fewer_texts_than_it_was_asked_is_malformed(triton: Pair) -> None:
    fake, models = triton
    fake.raw = [struct.pack("<f", 0.0)]
    with pytest.raises(RoleUnavailable, match="malformed"):
        await models.attack_probabilities(Role.GUARD, ["a", "b"])


async def test_a_premise_stands_beside_every_hypothesis(triton: Pair) -> None:
    fake, models = triton
    fake.raw = [struct.pack("<2f", 0.25, 0.75)]
    assert await models.entailments("p", ["h1", "h2"]) == (0.25, 0.75)
    (request,) = fake.asked
    assert [each.name for each in request.inputs] == ["PREMISE", "HYPOTHESIS"]
    assert request.raw_input_contents[0] == element("p") * 2


@pytest.mark.parametrize("raw", [[], [b""], [b"\0\0"], [struct.pack("<f", math.nan)], [struct.pack("<f", 1.5)]])
async def test_what_is_no_probability_is_never_taken_for_a_low_one(triton: Pair, raw: list[bytes]) -> None:
    fake, models = triton
    fake.raw = raw
    with pytest.raises(RoleUnavailable, match="malformed"):
        await models.attack_probabilities(Role.GUARD, ["x"])


@pytest.mark.parametrize("raw", [b"", b"\0\0\0"])
async def test_what_is_no_vector_is_malformed(triton: Pair, raw: bytes) -> None:
    fake, models = triton
    fake.raw = [raw]
    with pytest.raises(RoleUnavailable, match="malformed"):
        await models.embed(["x"])


async def test_calls_are_read_with_their_confidence(triton: Pair) -> None:
    fake, models = triton
    fake.raw = [element(json.dumps({"tool_calls": [{"name": "f", "arguments": {"a": 1}}], "confidence": 0.5}))]
    extraction = await models.call_functions([], [])
    assert (extraction.calls, extraction.confidence) == ((FunctionCall("f", {"a": 1}),), 0.5)


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"tool_calls": 3}', '{"tool_calls": [{"name": "f"}]}'])
async def test_an_answer_of_another_form_is_malformed(triton: Pair, text: str) -> None:
    fake, models = triton
    fake.raw = [element(text)]
    with pytest.raises(RoleUnavailable, match="malformed"):
        await models.call_functions([], [])


@pytest.mark.parametrize(
    ("code", "details", "reason"),
    [
        (grpc.StatusCode.INTERNAL, "Stub process 'guard_0_0' is not healthy.", "dead"),
        (grpc.StatusCode.UNAVAILABLE, "gone", "unreachable"),
        (grpc.StatusCode.INVALID_ARGUMENT, "no such tensor", "refused"),
    ],
)
async def test_a_failure_is_told_apart_by_its_cause(
    triton: Pair, code: grpc.StatusCode, details: str, reason: str
) -> None:
    fake, models = triton

    async def fail(_: Any, context: Any) -> Any:
        await context.abort(code, details)

    fake.infer = fail
    with pytest.raises(RoleUnavailable) as caught:
        await models.embed(["x"])
    assert caught.value.reason == reason


async def test_a_model_that_never_answers_costs_its_deadline_and_no_more(triton: Pair) -> None:
    fake, models = triton

    async def never(_: Any, context: Any) -> Any:
        del context
        await asyncio.Event().wait()

    fake.infer = never
    with pytest.raises(RoleUnavailable) as caught:
        await models.embed(["x"])
    assert caught.value.reason == "timeout"


@pytest.mark.parametrize("role", [Role.EMBED, Role.GUARD, Role.TOXICITY, Role.NLI, Role.FUNCTION])
async def test_a_probe_asks_the_model_of_its_role(triton: Pair, role: Role) -> None:
    fake, models = triton
    fake.raw = [element('{"tool_calls": []}') if role is Role.FUNCTION else struct.pack("<f", 0.0)]
    await probe(models, role)
    assert [request.model_name for request in fake.asked] == [f"my-{role}"]

"""Requests and responses of each role, over a real gRPC server."""

from __future__ import annotations

import asyncio
import json
import math
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest

from extproc import request_stats
from extproc.inference.interface import FunctionCall, RoleUnavailable
from extproc.inference.kserve import ModelMetadata, TensorMetadata
from extproc.inference.model_calls import probe
from extproc.inference.model_signature import SIGNATURES
from extproc.inference.role_clients import RoleClients
from extproc.shared.filter_config import Place, TextRole
from extproc.shared.roles import Role
from tests.unit.extproc.inference.servers import (
    FakeTriton,
    UnwatchedModels,
    element,
    floats,
    inference,
    never,
    serving,
    unwatched,
)


@pytest.fixture
async def fake() -> AsyncIterator[FakeTriton]:
    async with serving(FakeTriton()) as fake:
        yield fake


@pytest.fixture
async def unwatched_models(fake: FakeTriton) -> AsyncIterator[UnwatchedModels]:
    async with unwatched(inference({Place.LOCAL: fake.address})) as models_:
        yield models_


@pytest.fixture
def models(unwatched_models: UnwatchedModels) -> RoleClients:
    return unwatched_models.models


async def test_sends_a_text_as_one_bytes_element(fake: FakeTriton, models: RoleClients) -> None:
    assert await models.attack_probabilities(Role.GUARD, ["héllo"]) == (0.25,)
    (request,) = fake.requests
    assert (request.model_name, request.inputs[0].name, list(request.inputs[0].shape)) == ("my-guard", "TEXT", [1, 1])
    assert request.raw_input_contents[0] == element("héllo")


async def test_texts_are_batched_and_answers_keep_their_order(fake: FakeTriton, models: RoleClients) -> None:
    async def lengths(request: Any, _: Any) -> Any:
        texts, raw = [], request.raw_input_contents[0]
        while raw:
            (length,) = struct.unpack_from("<I", raw)
            texts.append(raw[4 : 4 + length])
            raw = raw[4 + length :]
        return fake.answer(request, [floats(*(len(text) / 10 for text in texts))])

    fake.infer = lengths
    answer = await models.attack_probabilities(Role.GUARD, ["", "a", "bb", "ccc", "dddd"])
    assert answer == pytest.approx((0.0, 0.1, 0.2, 0.3, 0.4))
    assert sorted(request.inputs[0].shape[0] for request in fake.requests) == [1, 2, 2]


ROLE = TensorMetadata("ROLE", "BYTES", (-1, 1))


@pytest.mark.parametrize(
    ("text_roles", "sent"),
    [((TextRole.TOOL, TextRole.SYSTEM, TextRole.USER), ["tool", "system", "user"]), ((), ["user"] * 3)],
)
async def test_a_model_with_the_input_gets_the_role_of_each_text(
    fake: FakeTriton, unwatched_models: UnwatchedModels, text_roles: tuple[TextRole, ...], sent: list[str]
) -> None:
    text = SIGNATURES[Role.GUARD].inputs[0]
    at = unwatched_models.at(Role.GUARD)
    at.apply_metadata(ModelMetadata((ROLE, text), (SIGNATURES[Role.GUARD].output,)))
    await unwatched_models.models.attack_probabilities(Role.GUARD, ["a", "b", "c"], text_roles)
    requests = sorted(fake.requests, key=lambda request: -int(request.inputs[0].shape[0]))
    assert [[each.name for each in request.inputs] for request in requests] == [["TEXT", "ROLE"]] * 2
    assert [request.raw_input_contents[1] for request in requests] == [
        element(sent[0]) + element(sent[1]),
        element(sent[2]),
    ]
    await probe(at, 1.0)
    assert fake.requests[-1].raw_input_contents[1] == element("user")
    # The server comes back with a model that lacks it.
    at.apply_metadata(ModelMetadata((text,), (SIGNATURES[Role.GUARD].output,)))
    await unwatched_models.models.attack_probabilities(Role.GUARD, ["a"], text_roles[:1])
    assert [each.name for each in fake.requests[-1].inputs] == ["TEXT"]


async def test_embeddings_of_several_calls_are_joined(models: RoleClients) -> None:
    embeddings = await models.embed(["a", "b", "c"])
    assert embeddings.vectors.shape == (3, 2)
    assert embeddings.space == Place.LOCAL


async def test_embeddings_are_normalised(fake: FakeTriton, models: RoleClients) -> None:
    fake.raw = [floats(3, 4, 0, 0)]
    assert (await models.embed(["a", ""])).vectors.tolist() == [pytest.approx([0.6, 0.8]), [0, 0]]


async def test_too_few_probabilities_are_malformed(fake: FakeTriton, models: RoleClients) -> None:
    fake.raw = [floats(0.0)]
    with pytest.raises(RoleUnavailable, match="malformed"):
        await models.attack_probabilities(Role.GUARD, ["a", "b"])


async def test_premise_is_repeated_for_every_hypothesis(fake: FakeTriton, models: RoleClients) -> None:
    fake.raw = [floats(0.25, 0.75)]
    assert await models.entailments("p", ["h1", "h2"]) == (0.25, 0.75)
    (request,) = fake.requests
    assert [each.name for each in request.inputs] == ["PREMISE", "HYPOTHESIS"]
    assert request.raw_input_contents[0] == element("p") * 2


@pytest.mark.parametrize("raw", [[], [b""], [b"\0\0"], [floats(math.nan)], [floats(1.5)]])
async def test_invalid_probability_is_malformed(fake: FakeTriton, models: RoleClients, raw: list[bytes]) -> None:
    fake.raw = raw
    with pytest.raises(RoleUnavailable, match="malformed"):
        await models.attack_probabilities(Role.GUARD, ["x"])


@pytest.mark.parametrize("raw", [b"", b"\0\0\0", floats(1, 2, 3)])
async def test_invalid_embedding_is_malformed(fake: FakeTriton, models: RoleClients, raw: bytes) -> None:
    fake.raw = [raw]
    with pytest.raises(RoleUnavailable, match="malformed"):
        await models.embed(["x", "y"])


async def test_reads_tool_calls_and_confidence(fake: FakeTriton, models: RoleClients) -> None:
    fake.raw = [element(json.dumps({"tool_calls": [{"name": "f", "arguments": {"a": 1}}], "confidence": 0.5}))]
    extraction = await models.call_functions([], [])
    assert (extraction.calls, extraction.confidence) == ((FunctionCall("f", {"a": 1}),), 0.5)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"tool_calls": 3}', '{"tool_calls": [{"name": "f"}]}', "{}" + " " * (1 << 20)]
)
async def test_invalid_function_response_is_malformed(fake: FakeTriton, models: RoleClients, text: str) -> None:
    fake.raw = [element(text)]
    with pytest.raises(RoleUnavailable, match="malformed"):
        await models.call_functions([], [])


@pytest.mark.parametrize("role", [Role.EMBED, Role.GUARD, Role.TOXICITY, Role.NLI, Role.FUNCTION])
async def test_probe_calls_the_model_of_its_role(
    fake: FakeTriton, unwatched_models: UnwatchedModels, role: Role
) -> None:
    await probe(unwatched_models.at(role), 1.0)
    assert [request.model_name for request in fake.requests] == [f"my-{role}"]


async def test_abandoned_call_is_recorded_as_cancelled(fake: FakeTriton, models: RoleClients) -> None:
    fake.infer = never
    with request_stats.collect() as stats, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await models.attack_probabilities(Role.GUARD, ["a"])
    assert [(call.role, call.reason) for call in stats.models] == [(Role.GUARD, "cancelled")]

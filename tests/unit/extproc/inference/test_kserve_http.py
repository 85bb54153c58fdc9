"""KServe v2 over HTTP with JSON, against a real server."""

from __future__ import annotations

import asyncio
import gzip
import json
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from extproc.inference.call_failures import CallFailed, FailureReason
from extproc.inference.interface import FunctionCall
from extproc.inference.kserve import MAX_RESPONSE_BYTES, InferRequest, ModelStatistics, TensorMetadata
from extproc.inference.kserve_http import KServeHttpClient
from extproc.inference.role_clients import open_models
from extproc.shared.filter_config import Backend, Inference, Place, Protocol, RoleBackends, Server
from extproc.shared.roles import COMPUTE_NS, Role
from tests.unit.extproc.inference.servers import element, floats

REQUEST = InferRequest("guard", {"TEXT": ["é".encode(), b"y"]}, "PROB")

Reply = tuple[int, Any]


@dataclass
class FakeServer:
    """`replies` by method and path; other paths get 404. `requests` records paths, bodies and `x-arch-upstream`."""

    replies: dict[str, Reply] = field(default_factory=dict)
    requests: list[tuple[str, Any, str | None]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    # Of every answer; and the cookies of every request.
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str | None] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        called = f"{request.method} {request.path}"
        self.cookies.append(request.headers.get("cookie"))
        self.requests.append((called, json.loads(body) if body else None, request.headers.get("x-arch-upstream")))
        if self.gate is not None:
            await self.gate.wait()
        status, answer = self.replies.get(called, (404, {"error": "not found"}))
        if not isinstance(answer, bytes):
            answer = (answer if isinstance(answer, str) else json.dumps(answer)).encode()
        return web.Response(status=status, body=answer, headers=self.headers)


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncIterator[FakeServer]:
    fake = FakeServer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    yield fake
    if fake.gate is not None:
        fake.gate.set()
    await runner.cleanup()


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(address=f"unix:{tmp_path}/s", protocol=Protocol.HTTP, upstream="triton_remote")


@pytest.fixture
async def client(fake: FakeServer, server: Server) -> AsyncIterator[KServeHttpClient]:
    client = KServeHttpClient(server)
    yield client
    await client.close()


def outputs(**tensors: list[Any]) -> Reply:
    return 200, {"outputs": [{"name": name, "data": data} for name, data in tensors.items()]}


INFER = "POST /v2/models/guard/infer"


async def test_sends_texts_as_json_strings_and_reads_numbers(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.replies[INFER] = outputs(PROB=[0.25, 0.5])
    assert (await client.infer(REQUEST, 1.0)).raw == floats(0.25, 0.5)
    ((_, body, upstream),) = fake.requests
    assert body["inputs"] == [{"name": "TEXT", "shape": [2, 1], "datatype": "BYTES", "data": ["é", "y"]}]
    assert [output["name"] for output in body["outputs"]] == ["PROB"]
    assert upstream == "triton_remote"


async def test_reads_nested_rows_in_order(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.replies[INFER] = outputs(PROB=[[0.25], [0.5]])
    assert (await client.infer(REQUEST, 1.0)).raw == floats(0.25, 0.5)
    fake.replies[INFER] = outputs(PROB=[["text"]])
    assert (await client.infer(REQUEST, 1.0)).raw == element("text")


async def test_compute_time_is_the_longest_of_the_texts(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.replies[INFER] = outputs(COMPUTE_NS=[1_000_000, 2_000_000], PROB=[0.25, 0.5])
    answer = await client.infer(InferRequest("guard", {"TEXT": [b"x"]}, "PROB", with_compute_time=True), 1.0)
    assert answer.compute_ms == 2.0
    assert [output["name"] for output in fake.requests[0][1]["outputs"]] == ["PROB", COMPUTE_NS]
    for data, expected in (([-5], 0.0), (["1"], None), ([], None)):
        fake.replies[INFER] = outputs(COMPUTE_NS=data, PROB=[0.25])
        assert (await client.infer(REQUEST, 1.0)).compute_ms == expected


async def test_number_beyond_fp32_becomes_infinite(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.replies[INFER] = outputs(PROB=[1e300, -1e300])
    assert (await client.infer(REQUEST, 1.0)).raw == floats(math.inf, -math.inf)


async def test_outputs_that_were_not_requested_are_not_decoded(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.replies[INFER] = outputs(OTHER=[{"any": "thing"}], PROB=[0.25])
    assert (await client.infer(REQUEST, 1.0)).raw == floats(0.25)


async def test_cookies_are_not_sent_back(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.headers["set-cookie"] = "server=one"
    fake.replies["GET /v2/health/live"] = (200, "")
    for _ in range(2):
        await client.server_live(1.0)
    assert fake.cookies == [None, None]


async def test_compressed_response_is_malformed(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.headers["content-encoding"] = "gzip"
    fake.replies[INFER] = 200, gzip.compress(json.dumps(outputs(PROB=[0.25])[1]).encode())
    with pytest.raises(CallFailed, match="malformed"):
        await client.infer(REQUEST, 1.0)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"error": "unexpected shape"}, "refused"),
        (401, "no key", "refused"),
        (404, "", "refused"),
        (413, "too long", "refused"),
        (408, "", "timeout"),
        (429, "slow down", "overloaded"),
        (500, {"error": "Stub process 'guard_0_0' is not healthy."}, "dead"),
        (500, {"error": "ValueError"}, "refused"),
        (500, "x" * 100_000, "refused"),
        (502, "", "unreachable"),
        (503, {"error": "Exceeds maximum queue size"}, "overloaded"),
        (503, "", "unreachable"),
        (504, "", "timeout"),
        (520, "", "refused"),
        (200, "nonsense", "malformed"),
        (200, {"outputs": []}, "malformed"),
        (200, {"outputs": [{"name": "PROB", "data": ["x", 1]}]}, "malformed"),
        (200, {"outputs": [{"name": "PROB", "data": [{}]}]}, "malformed"),
        (200, {"outputs": [{"name": "PROB", "data": [None]}]}, "malformed"),
        (200, {"outputs": [{"name": "PROB", "data": [10**400]}]}, "malformed"),
        (200, {"outputs": [{"name": "PROB", "data": [[[0.25]]]}]}, "malformed"),
        (200, {"outputs": [{"name": "PROB", "data": [0.25]}, {"name": COMPUTE_NS, "data": [{}]}]}, "malformed"),
        (200, " " * (MAX_RESPONSE_BYTES + 1), "malformed"),
    ],
)
async def test_failure_reason_follows_from_the_status(
    fake: FakeServer, client: KServeHttpClient, status: int, body: Any, reason: str
) -> None:
    fake.replies[INFER] = (status, body)
    with pytest.raises(CallFailed) as caught:
        await client.infer(REQUEST, 1.0)
    assert caught.value.failure.reason == reason
    assert caught.value.failure.detail
    assert ("model_serving.remote.access_key" in caught.value.failure.detail) is (status == 401)
    if status == 401:
        assert str(body) not in caught.value.failure.detail
    assert len(caught.value.failure.detail) < 2000
    assert caught.value.caused_by_request is (status in {400, 413})


async def test_call_without_response_ends_at_its_timeout(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.gate = asyncio.Event()
    with pytest.raises(CallFailed) as caught:
        await client.infer(REQUEST, 0.1)
    assert caught.value.failure.reason is FailureReason.TIMEOUT


async def test_missing_server_is_unreachable(server: Server) -> None:
    client = KServeHttpClient(server)
    with pytest.raises(CallFailed) as caught:
        await client.server_live(1.0)
    await client.close()
    assert caught.value.failure.reason is FailureReason.UNREACHABLE


METADATA = {
    "inputs": [{"name": "TEXT", "datatype": "BYTES", "shape": [-1, 1]}],
    "outputs": [{"name": "PROB", "datatype": "FP32", "shape": [-1, 1]}],
}


async def test_metadata_has_tensors_and_batch_size(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.replies = {"GET /v2/models/guard/ready": (200, ""), "GET /v2/models/guard": (200, METADATA)}
    found = await client.model_metadata("guard", 1.0)
    assert found.inputs == (TensorMetadata("TEXT", "BYTES", (-1, 1)),)
    assert found.outputs == (TensorMetadata("PROB", "FP32", (-1, 1)),)
    # A server without Triton's extensions does not say how many texts its model takes.
    assert found.max_batch_size == 0
    fake.replies["GET /v2/models/guard/config"] = (403, "restricted")
    assert (await client.model_metadata("guard", 1.0)).max_batch_size == 0
    fake.replies["GET /v2/models/guard/config"] = (200, {"max_batch_size": 4})
    assert (await client.model_metadata("guard", 1.0)).max_batch_size == 4


async def test_error_names_a_model_that_is_not_loaded(fake: FakeServer, client: KServeHttpClient) -> None:
    fake.replies = {"GET /v2/models/guard/ready": (400, ""), "GET /v2/health/ready": (200, "")}
    with pytest.raises(CallFailed, match="no model called guard"):
        await client.model_metadata("guard", 1.0)
    fake.replies["GET /v2/health/ready"] = (503, "server is starting")
    with pytest.raises(CallFailed, match="server is starting"):
        await client.model_metadata("guard", 1.0)


async def test_statistics_are_means_or_none(fake: FakeServer, client: KServeHttpClient) -> None:
    assert await client.model_statistics("guard", 1.0) is None
    parts = ("success", "queue", "compute_input", "compute_infer", "compute_output")
    spent = {part: {"count": 2, "ns": 4_000_000} for part in parts}
    fake.replies["GET /v2/models/guard/stats"] = (200, {"model_stats": [{"inference_stats": spent}]})
    assert await client.model_statistics("guard", 1.0) == ModelStatistics(queue_ms=2.0, compute_ms=6.0)
    spent["queue"]["ns"] = 10**400
    with pytest.raises(CallFailed, match="malformed"):
        await client.model_statistics("guard", 1.0)


async def test_decoupled_model_is_alive_if_it_responds_at_all(fake: FakeServer, client: KServeHttpClient) -> None:
    for reply in ((200, "data: {}"), (400, {"error": "messages must be a list"})):
        fake.replies["POST /v2/models/chat/generate_stream"] = reply
        await client.probe_decoupled("chat", "{}", 1.0)
    fake.replies["POST /v2/models/chat/generate_stream"] = (500, {"error": "Stub process 'chat' is not healthy."})
    with pytest.raises(CallFailed, match="dead"):
        await client.probe_decoupled("chat", "{}", 1.0)


async def test_unloads_and_loads_a_model(fake: FakeServer, client: KServeHttpClient) -> None:
    paths = [f"POST /v2/repository/models/guard/{action}" for action in ("unload", "load")]
    fake.replies = dict.fromkeys(paths, (200, ""))
    await client.unload_model("guard")
    await client.load_model("guard")
    assert [path for path, _, _ in fake.requests] == paths


async def test_role_works_from_first_probe_to_answer(fake: FakeServer, server: Server) -> None:
    request = {"name": "REQUEST", "datatype": "BYTES", "shape": [-1, 1]}
    response = {"name": "RESPONSE", "datatype": "BYTES", "shape": [-1, 1]}
    calls = json.dumps({"tool_calls": [{"name": "f", "arguments": {"a": 1}}]})
    fake.replies = {
        "GET /v2/models/f/ready": (200, ""),
        "GET /v2/models/f": (200, {"inputs": [request], "outputs": [response]}),
        "POST /v2/models/f/infer": outputs(RESPONSE=[calls]),
    }
    served = RoleBackends(backends=(Backend(place=Place.REMOTE, model="f"),), timeout_ms=1000)
    config = Inference(servers={Place.REMOTE: server}, roles={Role.FUNCTION: served}, models_timeout_ms=1000)
    async with open_models(config) as models:
        assert (await models.call_functions([], [])).calls == (FunctionCall("f", {"a": 1}),)
        assert models.unavailable == {}

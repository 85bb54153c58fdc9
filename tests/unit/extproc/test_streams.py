"""The ext_proc protocol as Envoy speaks it, over a real gRPC connection, in every order and cut that it allows."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc
import msgspec
import pytest
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue
from envoy.service.ext_proc.v3 import external_processor_pb2_grpc
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HttpBody,
    HttpHeaders,
    HttpTrailers,
    ProcessingRequest,
    ProcessingResponse,
)

from extproc import envoy_responses, request_stats
from extproc.current_gateway import CurrentGateway
from extproc.decision import Decision, Forward, HttpRequest, Reply, RequestSummary, ResponseEdit, ToolCall
from extproc.endpoints import error_responses
from extproc.endpoints.chat_completions import ChatCompletions
from extproc.errors import InvalidRequest, ModelNotFound
from extproc.gateway import RESPONSE_STAGES
from extproc.request_stats import ModelCall, Stage
from extproc.response_stages.stage import (
    ResponseContext,
    ResponseStage,
    StageFactory,
    WholeResponse,
    open_stages,
)
from extproc.server import open_server
from extproc.shared.filter_config import Place, Schema, Transport
from extproc.shared.roles import Role
from extproc.transport.service import Server

LIMIT = 1000
CALL = ToolCall(call_id="call_arch_1", name="weather", arguments="{}", answer="20")


@dataclass
class FakeGateway:
    """A gateway that decides by `how`, and records the requests and the contexts of responses."""

    how: Callable[[HttpRequest], Decision | Awaitable[Decision]]
    max_request_bytes: int = LIMIT
    max_json_values: int = 100
    timing_header: bool = False
    requests: list[HttpRequest] = field(default_factory=list)
    stages: tuple[StageFactory, ...] = RESPONSE_STAGES
    responses: list[ResponseContext] = field(default_factory=list)

    async def decide(self, request: HttpRequest) -> Decision:
        self.requests.append(request)
        decision = self.how(request)
        return decision if isinstance(decision, Forward | Reply) else await decision

    def response_stages(self, context: ResponseContext) -> list[ResponseStage]:
        self.responses.append(context)
        return open_stages(self.stages, context)


Exchange = Callable[..., Awaitable[list[ProcessingResponse]]]


@pytest.fixture(params=Transport)
async def exchange(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Exchange]:
    """Sends messages as one stream, and gives back what the filter answered until it ended the stream."""
    servers: list[Server] = []

    async def run(
        gateway: FakeGateway,
        messages: Sequence[ProcessingRequest],
        *,
        silence_ms: int = 60_000,
        listener: str = "egress",
    ) -> list[ProcessingResponse]:
        server = open_server(request.param, CurrentGateway(gateway))
        servers.append(server)
        socket = tmp_path / f"{len(servers)}.sock"
        await server.start(socket)
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel, asyncio.timeout(10):
            stub = external_processor_pb2_grpc.ExternalProcessorStub(channel)
            metadata = (
                ("x-archgw-listener", listener),
                ("traceparent", "00-a-b-01"),
                ("x-archgw-silence-ms", str(silence_ms)),
            )
            call = stub.Process(metadata=metadata)
            for message in messages:
                await call.write(message)
            if not messages:
                await call.done_writing()
            return [answer async for answer in call]

    yield run
    for server in servers:
        await server.stop(0)


def headers(fields: dict[str, str]) -> HeaderMap:
    return HeaderMap(headers=[HeaderValue(key=name, raw_value=value.encode()) for name, value in fields.items()])


def request_head(*, end: bool = False) -> ProcessingRequest:
    fields = {":method": "POST", ":path": "/v1/chat/completions?a=b", "x-request-id": "id-1"}
    return ProcessingRequest(request_headers=HttpHeaders(headers=headers(fields), end_of_stream=end))


def body_of(kind: str, piece: bytes, *, end: bool) -> ProcessingRequest:
    return ProcessingRequest(**{kind: HttpBody(body=piece, end_of_stream=end)})


def pieces(kind: str, body: bytes, size: int) -> list[ProcessingRequest]:
    cut = [body[start : start + size] for start in range(0, len(body), size)] or [b""]
    return [body_of(kind, piece, end=index == len(cut) - 1) for index, piece in enumerate(cut)]


def forward(edit: ResponseEdit | None = None) -> Forward:
    return Forward(cluster="provider_a", body=b"new body", path="/x", edit=edit, dynamic_metadata={"target": "weather"})


def changes(answer: ProcessingResponse, phase: str) -> dict[str, str]:
    mutation = getattr(answer, phase).response.header_mutation
    return {option.header.key: option.header.raw_value.decode() for option in mutation.set_headers}


@pytest.mark.parametrize("size", [1, 7, 100])
async def test_reads_the_same_body_for_all_cuts(exchange: Exchange, size: int) -> None:
    body = b'{"messages": [{"role": "user", "content": "h\xc3\xa9llo"}]}'
    gateway = FakeGateway(lambda _: forward())
    answers = await exchange(gateway, [request_head(), *pieces("request_body", body, size)])
    assert [request.body for request in gateway.requests] == [body]
    assert [answer.WhichOneof("response") for answer in answers] == ["request_headers", "request_body"]


async def test_the_gateway_gets_the_listener_the_path_and_the_trace(exchange: Exchange) -> None:
    gateway = FakeGateway(lambda _: forward())
    await exchange(gateway, [request_head(end=True)])
    (request,) = gateway.requests
    assert (request.listener, request.method, request.path) == ("egress", "POST", "/v1/chat/completions")
    assert (request.request_id, request.traceparent) == ("id-1", "00-a-b-01")


async def test_a_forward_answers_headers_and_body(exchange: Exchange) -> None:
    head, body = await exchange(FakeGateway(lambda _: forward()), [request_head(), *pieces("request_body", b"old", 3)])
    assert changes(head, "request_headers") == {
        "x-arch-upstream": "provider_a",
        "content-type": "application/json",
        "content-length": "8",
        ":path": "/x",
    }
    assert list(head.request_headers.response.header_mutation.remove_headers) == ["content-encoding"]
    assert head.request_headers.response.clear_route_cache
    streamed = body.request_body.response.body_mutation.streamed_response
    assert (streamed.body, streamed.end_of_stream) == (b"new body", True)
    notes = head.dynamic_metadata["archgw"]
    assert (notes["decision"], notes["target"]) == ("forward", "weather")
    assert float(notes["filter_ms"]) >= 0
    assert envoy_responses.EDIT not in head.dynamic_metadata


async def test_an_edit_is_in_dynamic_metadata_and_the_request_accepts_no_encoding(exchange: Exchange) -> None:
    head, _ = await exchange(FakeGateway(lambda _: forward(ResponseEdit(calls=(CALL,)))), [request_head(end=True)])
    assert json.loads(head.dynamic_metadata[envoy_responses.EDIT]["edit"])["calls"][0]["name"] == "weather"
    assert list(head.request_headers.response.header_mutation.remove_headers) == ["content-encoding", "accept-encoding"]


async def test_answers_trailers_after_the_body(exchange: Exchange) -> None:
    trailers = ProcessingRequest(request_trailers=HttpTrailers())
    answers = await exchange(
        FakeGateway(lambda _: forward()), [request_head(), body_of("request_body", b"x", end=False), trailers]
    )
    kinds = [answer.WhichOneof("response") for answer in answers]
    assert kinds == ["request_headers", "request_body", "request_trailers"]
    assert not answers[1].request_body.response.body_mutation.streamed_response.end_of_stream


async def test_a_reply_is_an_immediate_response(exchange: Exchange) -> None:
    reply = Reply(200, b"{}", "blocked", headers=(("x-a", "b"),))
    (answer,) = await exchange(FakeGateway(lambda _: reply), [request_head(end=True)])
    immediate = answer.immediate_response
    assert (immediate.status.code, immediate.body, immediate.details) == (200, b"{}", "archgw_blocked")
    assert {o.header.key: o.header.raw_value for o in immediate.headers.set_headers} == {
        "content-type": b"application/json",
        "x-a": b"b",
    }


def calling_models(decision: Decision | Exception) -> Callable[[HttpRequest], Awaitable[Decision]]:
    """Returns a decision function with a child task that records a model call and a degraded intent."""

    async def call_model() -> None:
        stats = request_stats.current()
        assert stats
        stats.models.append(ModelCall(Role.GUARD, Place.LOCAL, stats.began, stats.began + 0.002))
        request_stats.record_degraded(Stage.INTENT)

    async def decide(_: HttpRequest) -> Decision:
        await asyncio.create_task(call_model())
        await asyncio.sleep(0.005)
        if isinstance(decision, Exception):
            raise decision
        return decision

    return decide


@pytest.mark.parametrize("timing_header", [True, False])
@pytest.mark.parametrize("decision", [Reply(200, b"{}", "ask"), InvalidRequest("No.")])
async def test_a_reply_has_the_timing_and_the_degraded_stages(
    exchange: Exchange, decision: Decision | Exception, timing_header: bool
) -> None:
    gateway = FakeGateway(calling_models(decision), timing_header=timing_header)
    (answer,) = await exchange(gateway, [request_head(end=True)])
    sent_headers = {o.header.key: o.header.raw_value.decode() for o in answer.immediate_response.headers.set_headers}
    assert sent_headers["x-arch-degraded"] == "intent"
    assert ("x-arch-timing" in sent_headers) is timing_header
    if timing_header:
        assert re.fullmatch(
            r"filter;dur=[\d.]+, guard;dur=2.00;place=local;network=0.00", sent_headers["x-arch-timing"]
        )
    notes = answer.dynamic_metadata["archgw"]
    assert (notes["models_ms"], notes["served"], notes["degraded"]) == ("2.00", "guard=local", "intent")


async def test_a_forward_has_timing_and_degraded_stages_in_dynamic_metadata_only(exchange: Exchange) -> None:
    for timing_header in (True, False):
        head, _ = await exchange(
            FakeGateway(calling_models(forward()), timing_header=timing_header), [request_head(end=True)]
        )
        notes = head.dynamic_metadata["archgw"]
        assert (notes["degraded"], "timing" in notes) == ("intent", timing_header)
        assert not {"x-arch-timing", "x-arch-degraded"} & set(changes(head, "request_headers"))


async def test_requests_do_not_share_their_stats(exchange: Exchange) -> None:
    await exchange(FakeGateway(calling_models(forward())), [request_head(end=True)])
    head, _ = await exchange(FakeGateway(lambda _: forward()), [request_head(end=True)])
    assert not {"models_ms", "served", "degraded"} & set(head.dynamic_metadata["archgw"])


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(InvalidRequest("No."), 400, "invalid_request"), (ZeroDivisionError("inside"), 500, "internal_error")],
)
async def test_every_error_is_a_reply(exchange: Exchange, error: Exception, status: int, code: str) -> None:
    def fail(_: HttpRequest) -> Decision:
        raise error

    (answer,) = await exchange(FakeGateway(fail), [request_head(end=True)])
    assert answer.immediate_response.status.code == status
    assert json.loads(answer.immediate_response.body)["error"]["code"] == code
    assert b"inside" not in answer.immediate_response.body


async def test_a_decision_that_takes_too_long_is_a_504(exchange: Exchange) -> None:
    def late(_: HttpRequest) -> Decision:
        raise TimeoutError

    (answer,) = await exchange(FakeGateway(late), [request_head(end=True)])
    assert answer.immediate_response.status.code == 504


async def test_refuses_a_body_over_the_limit_before_it_is_complete(exchange: Exchange) -> None:
    gateway = FakeGateway(lambda _: forward())
    (answer,) = await exchange(gateway, [request_head(), body_of("request_body", b"x" * (LIMIT + 1), end=False)])
    assert answer.immediate_response.status.code == 413
    assert gateway.requests == []


async def test_refuses_a_body_of_too_many_values_before_it_is_complete(exchange: Exchange) -> None:
    gateway = FakeGateway(lambda _: forward())
    (answer,) = await exchange(gateway, [request_head(), body_of("request_body", b"[" + b"1," * 101, end=False)])
    assert answer.immediate_response.status.code == 413
    assert b"more than 100 JSON values" in answer.immediate_response.body
    assert gateway.requests == []


@pytest.mark.parametrize(("listener", "names"), [("ingress", False), ("", False), ("egress", True)])
async def test_only_egress_errors_contain_provider_names(listener: str, names: bool) -> None:
    error = ModelNotFound("Valid ones: azure.")
    request = HttpRequest(listener, "POST", "/v1/chat/completions", {}, b"", "id-7")
    response = error_responses.client_error(ChatCompletions(), request, error)
    assert (response.status, response.code) == (400, "model_not_found")
    assert (b"azure" in response.body) is names
    assert (b"id-7" in response.body) is not names


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [body_of("request_body", b"x", end=True)],
        [request_head(), request_head()],
        [request_head(), body_of("response_body", b"x", end=True)],
        [ProcessingRequest()],
    ],
)
async def test_aborts_a_stream_that_breaks_the_protocol(exchange: Exchange, messages: list[ProcessingRequest]) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await exchange(FakeGateway(lambda _: forward()), messages)
    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


def response_head(
    edit: ResponseEdit | None, fields: dict[str, str] | None = None, *, end: bool = False
) -> ProcessingRequest:
    head = {":status": "200", "content-type": "application/json", "content-length": "9", **(fields or {})}
    message = ProcessingRequest(response_headers=HttpHeaders(headers=headers(head), end_of_stream=end))
    if edit:
        metadata = message.metadata_context.filter_metadata[envoy_responses.EDIT]
        metadata.update({"edit": msgspec.json.encode(edit).decode()})
    return message


def response_bytes(answers: Sequence[ProcessingResponse]) -> bytes:
    return b"".join(answer.response_body.response.body_mutation.streamed_response.body for answer in answers)


def ends(answers: Sequence[ProcessingResponse]) -> list[bool]:
    bodies = [answer.response_body.response for answer in answers if answer.HasField("response_body")]
    return [body.body_mutation.streamed_response.end_of_stream for body in bodies]


def undecided(_: HttpRequest) -> Decision:
    raise AssertionError("a response is not decided on")


@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_edits_a_json_response_as_a_whole(exchange: Exchange, size: int) -> None:
    messages = [response_head(ResponseEdit(calls=(CALL,))), *pieces("response_body", b'{"id": "1"}', size)]
    head, *body = await exchange(FakeGateway(undecided), messages)
    assert "x-arch-state" in json.loads(response_bytes(body))["metadata"]
    assert changes(head, "response_headers")["content-length"] == str(len(response_bytes(body)))
    assert ends(body) == [True]


@pytest.mark.parametrize("size", [1, 5, 1000])
async def test_edits_an_event_stream_as_it_passes(exchange: Exchange, size: int) -> None:
    rest = b"data: [DONE]\n\n"
    stream = b'data: {"id":"7","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n' + rest
    messages = [response_head(ResponseEdit(calls=(CALL,)), {"content-type": "text/event-stream; charset=utf-8"})]
    head, *body = await exchange(FakeGateway(undecided), [*messages, *pieces("response_body", stream, size)])
    assert list(head.response_headers.response.header_mutation.remove_headers) == ["content-length"]
    assert response_bytes(body).endswith(rest)
    assert response_bytes(body).count(b'"id":"7"') == 2
    assert b"x-arch-state" in response_bytes(body).partition(b"\n\n")[0]
    assert ends(body) == [False] * (len(body) - 1) + [True]


@pytest.mark.parametrize("before", [b"", b'data: {"choices":[]}\n\n', b'data: {"cho'])
async def test_a_silent_stream_ends_with_an_error_event(exchange: Exchange, before: bytes) -> None:
    head = response_head(ResponseEdit(), {"content-type": "text/event-stream"})
    _, *body = await exchange(
        FakeGateway(undecided), [head, body_of("response_body", before, end=False)], silence_ms=50
    )
    *_, last = response_bytes(body).removeprefix(before).split(b"data: ")
    assert json.loads(last)["error"]["code"] == "upstream_timeout"
    assert response_bytes(body).startswith(before + b"\n\ndata: ")
    assert ends(body)[-1] is True


@pytest.mark.parametrize("size", [8, 1000])
async def test_recognises_an_event_stream_without_a_content_type(exchange: Exchange, size: int) -> None:
    stream = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\ndata: [DONE]\n\n'
    messages = [response_head(ResponseEdit(calls=(CALL,)), {"content-type": ""})]
    head, *body = await exchange(FakeGateway(undecided), [*messages, *pieces("response_body", stream, size)])
    assert changes(head, "response_headers") == {"content-type": "text/event-stream"}
    assert response_bytes(body).endswith(stream)
    assert len(response_bytes(body)) > len(stream)


async def test_an_answer_that_cannot_be_edited_is_a_502(exchange: Exchange) -> None:
    messages = [
        response_head(ResponseEdit(calls=(CALL,)), {"content-type": "text/html"}),
        *pieces("response_body", b"<html>of somebody", 5),
    ]
    head, *body = await exchange(FakeGateway(undecided), messages)
    error = json.loads(response_bytes(body))["error"]
    assert (changes(head, "response_headers")[":status"], error["code"]) == ("502", "bad_upstream_answer")
    assert changes(head, "response_headers")["content-type"] == "application/json"
    assert "somebody" not in str(error)


@pytest.mark.parametrize(("status", "retry_after"), [(503, "1"), (504, None), (200, None)])
async def test_a_503_has_a_retry_after_header(exchange: Exchange, status: int, retry_after: str | None) -> None:
    (answer,) = await exchange(FakeGateway(lambda _: Reply(status, b"{}", "x")), [request_head(end=True)])
    set_ = {each.header.key: each.header.raw_value.decode() for each in answer.immediate_response.headers.set_headers}
    assert set_.get("retry-after") == retry_after


async def test_answers_trailers_of_a_response(exchange: Exchange) -> None:
    messages = [
        response_head(ResponseEdit(calls=(CALL,))),
        body_of("response_body", b'{"id": "1"}', end=False),
        ProcessingRequest(response_trailers=HttpTrailers()),
    ]
    answers = await exchange(FakeGateway(undecided), messages)
    assert [answer.WhichOneof("response") for answer in answers] == [
        "response_headers",
        "response_body",
        "response_trailers",
    ]
    assert ends(answers) == [False]


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream"])
async def test_an_encoded_response_passes_unedited(exchange: Exchange, content_type: str) -> None:
    fields = {"content-encoding": "gzip", "content-type": content_type}
    messages = [response_head(ResponseEdit(calls=(CALL,)), fields), *pieces("response_body", b"\x1f\x8b...", 2)]
    head, *body = await exchange(FakeGateway(undecided), messages)
    assert changes(head, "response_headers") == {}
    assert response_bytes(body) == b"\x1f\x8b..."


async def test_a_response_without_a_body_ends(exchange: Exchange) -> None:
    head = response_head(ResponseEdit(calls=(CALL,)), {":status": "429"}, end=True)
    assert ends(await exchange(FakeGateway(undecided), [head])) == [True]


@pytest.mark.parametrize("edit", [ResponseEdit(calls=(CALL,)), ResponseEdit(schema=Schema.TRITON)])
async def test_an_error_for_a_response_without_a_body_is_an_immediate_response(
    exchange: Exchange, edit: ResponseEdit
) -> None:
    (answer,) = await exchange(FakeGateway(undecided), [response_head(edit, end=True)])
    assert answer.immediate_response.status.code in {502, 503}
    assert json.loads(answer.immediate_response.body)["error"]["type"] == "api_error"


async def test_aborts_a_response_without_an_edit(exchange: Exchange) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await exchange(FakeGateway(undecided), [response_head(None)])


class Redact:
    """A response stage that waits, and keeps back text that may be the beginning of its word."""

    WORD = b"secret"

    def __init__(self) -> None:
        self._rest = b""

    async def whole(self, response: WholeResponse) -> WholeResponse:
        return replace(response, body=await self.feed(response.body) + await self.finish())

    async def feed(self, chunk: bytes) -> bytes:
        await asyncio.sleep(0)
        text = (self._rest + chunk).replace(self.WORD, b"******")
        keep = len(self.WORD) - 1
        out, self._rest = text[:-keep], text[-keep:]
        return out

    async def finish(self) -> bytes:
        return self._rest


@pytest.mark.parametrize("size", [1, 5, 1000])
@pytest.mark.parametrize("content_type", ["text/event-stream", "application/json"])
async def test_one_more_response_stage_needs_no_change_of_the_stream_driver(
    exchange: Exchange, content_type: str, size: int
) -> None:
    summary = RequestSummary(path="/v1/chat/completions", listener="egress", request_id="id-1", client="1.2.3.4")
    gateway = FakeGateway(undecided, stages=(*RESPONSE_STAGES, lambda _: Redact()))
    head = response_head(ResponseEdit(request=summary), {"content-type": content_type})
    _, *body = await exchange(gateway, [head, *pieces("response_body", b'data: {"a": "a secret"}\n\n', size)])
    assert response_bytes(body) == b'data: {"a": "a ******"}\n\n'
    assert [(context.status, context.edit.request) for context in gateway.responses] == [(200, summary)]


@pytest.mark.parametrize(("listener", "path"), [("egress", None), ("ingress", "/v1/chat/completions")])
async def test_path_of_the_forward_has_the_query_on_egress_only(
    exchange: Exchange, listener: str, path: str | None
) -> None:
    forward = Forward(cluster="provider_a", body=b"", path="/v1/chat/completions")
    head, _ = await exchange(FakeGateway(lambda _: forward), [request_head(end=True)], listener=listener)
    assert changes(head, "request_headers").get(":path") == path

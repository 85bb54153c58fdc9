"""The ext_proc service, fuzzed: for any order, cut and number of messages a stream ends, and nothing unread passes."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from extproc import envoy_responses
from extproc.current_gateway import CurrentGateway
from extproc.decision import ResponseEdit, ToolCall
from extproc.gateway import Gateway
from extproc.inference.interface import FunctionCall
from extproc.inference.role_clients import RoleClients
from extproc.pipeline.egress import Egress
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.evaluator import GuardEvaluator
from extproc.pipeline.ingress import Ingress
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.providers.routing import ProviderRouter
from extproc.server import open_server
from extproc.shared.filter_config import EndpointCall, HttpMethod, Prompting, Schema, Transport
from tests.unit.extproc.fakes import FakeEndpoints, FakeModels
from tests.unit.extproc.pipeline.ingress_fixture import GUARD, INTENT, OPENAI, WEATHER, guarded

# Texts that hold it are attacks to the guard's model, and so it must never leave the gateway.
MARKER = "pwn the gateway"
LIMIT = 20_000
CALL = ToolCall(call_id="call_arch_1", name="weather", arguments="{}", answer="20")
ERRORS = EndpointCall(endpoint="errors", upstream="error_target", method=HttpMethod.POST, path="/errors")

# Longer than any exchange takes, and short enough to tell a stream that hangs.
PATIENCE_S = 30.0


@dataclass
class Exchange:
    """The answers of the filter. `error` None: the filter ended the stream without an error."""

    answers: list[ProcessingResponse]
    error: grpc.StatusCode | None

    @property
    def kinds(self) -> list[str | None]:
        return [answer.WhichOneof("response") for answer in self.answers]


class Service:
    """The filter's service on a unix socket, in an event loop of its own."""

    def __init__(self, transport: Transport, socket: Path) -> None:
        self._transport = transport
        self._socket = socket
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self._stub: Any = self._runner.run(self._connect())

    async def _connect(self) -> Any:
        await self._open.enter_async_context(_serving(self._transport, self._socket))
        channel = await self._open.enter_async_context(grpc.aio.insecure_channel(f"unix:{self._socket}"))
        return external_processor_pb2_grpc.ExternalProcessorStub(channel)

    def exchange(self, listener: str, messages: Sequence[ProcessingRequest]) -> Exchange:
        """One stream. Fails where it does not end."""
        return self._runner.run(self._exchange(listener, messages))

    async def _exchange(self, listener: str, messages: Sequence[ProcessingRequest]) -> Exchange:
        async def sent() -> AsyncIterator[ProcessingRequest]:
            for message in messages:
                yield message

        call = self._stub.Process(sent(), metadata=(("x-archgw-listener", listener),))
        answers: list[ProcessingResponse] = []
        async with asyncio.timeout(PATIENCE_S):
            try:
                async for answer in call:
                    answers.append(answer)  # noqa: PERF401 - those before an error count too
            except grpc.aio.AioRpcError as error:
                # A client that is still writing may see the end of the stream as a failure of its own.
                own = error.details() == "Internal error from Core"
                return Exchange(answers, grpc.StatusCode.FAILED_PRECONDITION if own else error.code())
        return Exchange(answers, None)

    def close(self) -> None:
        self._runner.run(self._open.aclose())
        self._runner.close()


@asynccontextmanager
async def _serving(transport: Transport, socket: Path) -> AsyncIterator[None]:
    """The service with a guarded gateway behind it, whose models and endpoints are stood in for."""
    models = FakeModels(marker=MARKER, calls=(FunctionCall("weather", {"days": 3}),))
    endpoints: Any = FakeEndpoints()
    errors = ErrorHandler(endpoints, ERRORS)
    stages = guarded(GuardEvaluator(models, (GUARD,)), errors)
    prompting = Prompting(intent=INTENT, targets=(WEATHER,), system_prompt="You are a helper.")
    index = TargetIndex(models, prompting.targets)
    await index.build()
    intent_resolver = IntentResolver(models, index, prompting)
    providers = ProviderRouter((OPENAI,))
    ingress = Ingress(prompting, providers, stages, intent_resolver, endpoints, errors, 5.0)
    egress = Egress(providers, stages, 5.0)
    gateway = Gateway(LIMIT, 1000, egress, ingress, index, RoleClients({}), models_timeout_ms=5000, timing_header=True)
    server = open_server(transport, CurrentGateway(gateway))
    await server.start(socket)
    yield
    await server.stop(0)


@pytest.fixture(scope="module", params=Transport)
def service(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    directory: Path = tmp_path_factory.mktemp("fuzz")
    service = Service(request.param, directory / "s")
    yield service
    service.close()


# What clients send.


def mostly(usual: st.SearchStrategy[Any], unusual: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.integers(0, 7).flatmap(lambda number: unusual if number == 5 else usual)


HARMLESS = st.one_of(st.sampled_from(["hello", "the weather in Paris", "", "money"]), st.text(max_size=40))
TEXTS = mostly(HARMLESS, st.sampled_from([MARKER, f"hello {MARKER} bye", f"\n{MARKER}"]))
CONTENTS: st.SearchStrategy[Any] = st.one_of(
    TEXTS, st.none(), st.lists(TEXTS.map(lambda text: {"type": "text", "text": text}), max_size=3)
)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
OPTIONAL: dict[str, st.SearchStrategy[Any]] = {
    "name": TEXTS,
    "model": st.sampled_from(["Arch-Function", "Arch-Guard", "gpt-4o"]),
    "tool_call_id": st.just("call_arch_1"),
    "tool_calls": st.just([{"id": "call_arch_1", "function": {"name": "f", "arguments": MARKER}}]),
}


def messages_of(*roles: str) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries({"role": st.sampled_from(roles), "content": CONTENTS}, optional=OPTIONAL)


# Conversations that make sense, and those with roles and ends that do not.
CONVERSATIONS = st.tuples(
    st.lists(messages_of("user", "assistant", "tool", "system", "developer", "other"), max_size=3),
    messages_of("user", "user", "user", "tool"),
).map(lambda parts: [*parts[0], parts[1]])
FIELDS = {
    "tools": JSON,
    "unheard_of": JSON,
    "metadata": st.dictionaries(st.sampled_from(["a", "b"]), TEXTS, max_size=2),
    "stream": st.booleans(),
}
REQUESTS = st.fixed_dictionaries({"messages": CONVERSATIONS}, optional=FIELDS)
MALFORMED = st.fixed_dictionaries(
    {"messages": st.one_of(CONVERSATIONS, JSON)},
    optional={
        "model": JSON,
        "stream": JSON,
        "metadata": st.one_of(JSON, st.dictionaries(st.just("x-arch-state"), TEXTS, max_size=1)),
    },
)


BODIES = mostly(
    st.tuples(REQUESTS, st.booleans()).map(lambda drawn: json.dumps(drawn[0], ensure_ascii=drawn[1]).encode()),
    st.one_of(
        MALFORMED.map(lambda body: json.dumps(body).encode()), st.binary(max_size=60), st.just(b"x" * (LIMIT + 1))
    ),
)

# What Envoy sends.


def _head(kind: str, fields: dict[str, str], *, end: bool) -> ProcessingRequest:
    header_map = HeaderMap(headers=[HeaderValue(key=name, raw_value=text.encode()) for name, text in fields.items()])
    return ProcessingRequest(**{kind: HttpHeaders(headers=header_map, end_of_stream=end)})


def _pieces(kind: str, body: bytes, cuts: Sequence[int], *, end: bool) -> list[ProcessingRequest]:
    borders = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    pieces = [body[start:stop] for start, stop in pairwise(borders)]
    last = len(pieces) - 1
    return [
        ProcessingRequest(**{kind: HttpBody(body=piece, end_of_stream=end and index == last)})
        for index, piece in enumerate(pieces)
    ]


@st.composite
def request_halves(draw: st.DrawFn) -> list[ProcessingRequest]:
    fields = {
        ":method": draw(mostly(st.just("POST"), st.sampled_from(["GET", ""]))),
        ":path": draw(mostly(st.just("/v1/chat/completions"), st.sampled_from(["/healthz", "/", ""]))),
        "x-request-id": "id",
    }
    trailers = draw(st.booleans())
    body = _pieces("request_body", draw(BODIES), draw(st.lists(st.integers(0, 10_000), max_size=4)), end=not trailers)
    end = [ProcessingRequest(request_trailers=HttpTrailers())] if trailers else []
    return [_head("request_headers", fields, end=False), *body, *end]


@st.composite
def response_halves(draw: st.DrawFn) -> list[ProcessingRequest]:
    fields = {
        ":status": draw(st.sampled_from(["200", "500", "x"])),
        "content-type": draw(st.sampled_from(["application/json", "text/event-stream", ""])),
        **draw(st.sampled_from([{}, {"content-encoding": "gzip"}])),
    }
    head = _head("response_headers", fields, end=False)
    edit = ResponseEdit(schema=draw(st.sampled_from(Schema)), calls=draw(st.sampled_from([(), (CALL,), (CALL, CALL)])))
    encoded = draw(st.sampled_from([msgspec.json.encode(edit).decode(), "", "{}", "[]"]))
    head.metadata_context.filter_metadata[envoy_responses.EDIT].update({"edit": encoded})
    trailers = draw(st.booleans())
    body = _pieces("response_body", draw(BODIES), draw(st.lists(st.integers(0, 10_000), max_size=4)), end=not trailers)
    end = [ProcessingRequest(response_trailers=HttpTrailers())] if trailers else []
    return [head, *body, *end]


@st.composite
def disordered(draw: st.DrawFn) -> list[ProcessingRequest]:
    """Halves of requests and responses, with messages lost, repeated, foreign and out of order."""
    halves = st.one_of(request_halves(), request_halves(), response_halves(), st.just([ProcessingRequest()]))
    messages = [message for half in draw(st.lists(halves, min_size=1, max_size=2)) for message in half]
    for _ in range(draw(st.integers(0, 2))):
        at, to = draw(st.integers(0, len(messages) - 1)), draw(st.integers(0, len(messages) - 1))
        match draw(st.sampled_from(["drop", "repeat", "move"])):
            case "drop" if len(messages) > 1:
                del messages[at]
            case "repeat":
                messages.insert(to, messages[at])
            case "move":
                messages.insert(to, messages.pop(at))
    return messages


LISTENERS = mostly(st.sampled_from(["ingress", "egress"]), st.sampled_from(["", "internal"]))
FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def forwarded(exchange: Exchange) -> bytes | None:
    """The request body that Envoy would send on; None where the filter has named no upstream."""
    heads = [answer for answer in exchange.answers if answer.HasField("request_headers")]
    names = {o.header.key for head in heads for o in head.request_headers.response.header_mutation.set_headers}
    bodies = [answer.request_body.response.body_mutation for answer in exchange.answers]
    return b"".join(body.streamed_response.body for body in bodies) if "x-arch-upstream" in names else None


def ended_request_half(kinds: list[str | None]) -> bool:
    return kinds in (
        ["immediate_response"],
        ["request_headers", "request_body"],
        ["request_headers", "request_body", "request_trailers"],
    )


def check(exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
    body = forwarded(exchange)
    if body is not None:
        assert MARKER not in json.dumps(json.loads(body), ensure_ascii=False)
    # Envoy takes a clean end for consent, so there is none without an answer.
    assert exchange.error is not None or exchange.answers
    assert not [record for record in caplog.records if record.exc_info or "Traceback" in record.getMessage()]
    caplog.clear()


@FUZZ
@given(messages=request_halves(), listener=LISTENERS)
def test_every_request_gets_a_decision_and_no_attack_leaves(
    service: Service, caplog: pytest.LogCaptureFixture, messages: list[ProcessingRequest], listener: str
) -> None:
    with caplog.at_level(logging.INFO):
        exchange = service.exchange(listener, messages)
    assert exchange.error is None
    assert ended_request_half(exchange.kinds)
    check(exchange, caplog)


@FUZZ
@given(messages=response_halves(), listener=LISTENERS)
def test_every_response_is_edited_or_its_stream_aborted(
    service: Service, caplog: pytest.LogCaptureFixture, messages: list[ProcessingRequest], listener: str
) -> None:
    with caplog.at_level(logging.INFO):
        exchange = service.exchange(listener, messages)
    assert exchange.error in {None, grpc.StatusCode.FAILED_PRECONDITION}
    assert {"request_headers", "request_body", "immediate_response"}.isdisjoint(exchange.kinds)
    check(exchange, caplog)


@FUZZ
@given(messages=disordered(), listener=LISTENERS)
def test_messages_out_of_order_end_the_stream_and_let_nothing_pass(
    service: Service, caplog: pytest.LogCaptureFixture, messages: list[ProcessingRequest], listener: str
) -> None:
    with caplog.at_level(logging.INFO):
        exchange = service.exchange(listener, messages)
    assert exchange.error in {None, grpc.StatusCode.FAILED_PRECONDITION}
    check(exchange, caplog)

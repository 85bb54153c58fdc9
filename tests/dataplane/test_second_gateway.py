"""A second gateway beside the first, with the other value of each option."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx2
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.prompts import ATTACK, user
from tests.dataplane.stack import Stack, archgw, free_ports, wait_for
from tests.support.api_server import ApiServer
from tests.support.behaviour import Behaviour
from tests.support.llm_provider import LlmProvider


class Collector(grpc.GenericRpcHandler):
    """An OTLP collector that keeps its exports as bytes. No gRPC stubs on PyPI fit our protobuf version."""

    def __init__(self) -> None:
        self.exports: list[bytes] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        if not str(handler_call_details.method).endswith("TraceService/Export"):
            return None
        return grpc.unary_unary_rpc_method_handler(self._export)

    def _export(self, request: bytes, _: grpc.ServicerContext) -> bytes:
        self.exports.append(request)
        return b""


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, int]]:
    handler, server = Collector(), grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((handler,))
    # All interfaces: Envoy may come from a container.
    port = server.add_insecure_port("0.0.0.0:0")
    server.start()
    yield handler, port
    server.stop(None).wait()


@pytest.fixture(scope="module")
def second(
    _stack: Stack,
    _providers: tuple[LlmProvider, LlmProvider, LlmProvider],
    _api: ApiServer,
    collector: tuple[Collector, int],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    ingress, egress = free_ports(2)
    config: dict[str, Any] = {
        "version": "v1",
        "listeners": {
            "ingress": {"address": "127.0.0.1", "port": ingress},
            "egress": {"address": "127.0.0.1", "port": egress},
        },
        "endpoints": {"api": {"endpoint": f"127.0.0.1:{_api.port}"}},
        "llm_providers": [
            {"name": "a", "provider": "openai_compatible", "model": "m", "base_url": f"{_providers[0].url}/v1"},
            {"name": "b", "provider": "openai_compatible", "model": "m", "base_url": f"{_providers[1].url}/v1"},
        ],
        "prompt_guards": {"input_guards": {"jailbreak": {"on_exception": {"message": "No.", "status": 403}}}},
        "prompt_targets": [
            {
                "name": "anything_else",
                "description": "Answers whatever no other target does",
                "default": True,
                "endpoint": {"name": "api", "path": "/default_target", "http_method": "POST"},
            },
        ],
        "overrides": {"max_request_bytes": "64KiB", "filter_workers": 1},
        "tracing": {"random_sampling": 100, "collector": f"http://127.0.0.1:{collector[1]}"},
    }
    stack = Stack(config, tmp_path_factory.mktemp("gw2"), runtime=_stack.runtime)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


def test_blocked_prompt_gets_the_configured_status(second: Stack, api: ApiServer) -> None:
    answer = second.post("ingress", {"messages": user(ATTACK)})
    assert answer.status_code == 403
    assert answer.headers["x-prompt-guard-error-code"] == "jailbreak"
    assert answer.json()["error"]["code"] == "prompt_rejected"
    assert api.received.all() == []


@pytest.mark.parametrize("stream", [False, True])
def test_the_default_target_answers_instead_of_an_llm(
    second: Stack, api: ApiServer, provider: LlmProvider, stream: bool
) -> None:
    messages = user("Hello, who are you?")
    answer = second.post("ingress", {"messages": messages, "stream": stream})
    (call,) = api.received.all()
    assert (call.path, call.json()) == ("/default_target", {"messages": messages})
    assert "default target got 1 messages" in answer.text
    assert answer.text.endswith("data: [DONE]\n\n") is stream
    assert provider.received.all() == []


@pytest.mark.parametrize("stream", [False, True])
def test_event_stream_of_the_default_target_is_returned_in_the_requested_form(
    second: Stack, api: ApiServer, stream: bool
) -> None:
    chunk = '{"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]}'
    raw = f"data: {chunk}\n\ndata: [DONE]\n\n"
    api.next(Behaviour(raw=raw, content_type="text/event-stream"))
    answer = second.post("ingress", {"messages": user("Hello, who are you?"), "stream": stream})
    assert answer.headers["x-arch-prompt-target"] == "anything_else"
    if stream:
        assert answer.text == raw
    else:
        assert answer.json()["choices"][0]["message"]["content"] == "hi"


def test_default_target_without_a_completion_is_a_502(second: Stack, api: ApiServer) -> None:
    api.next(Behaviour(raw='{"not": "a completion"}', content_type="application/json"))
    answer = second.post("ingress", {"messages": user("Hello, who are you?")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (502, "bad_upstream_answer")


def test_unknown_model_is_refused_without_a_default_provider(second: Stack) -> None:
    answer = second.post("egress", {"model": "unheard-of", "messages": user("hi")})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model_not_found")


def test_timing_header_is_off_by_default(second: Stack) -> None:
    for listener in ("ingress", "egress"):
        answer = second.post(listener, {"model": "m", "messages": user("hi")})
        assert answer.status_code == 200
        assert "x-arch-timing" not in answer.headers
    assert float(second.access(answer.headers["x-request-id"])["filter_ms"]) > 0


def test_body_limit_is_configurable(second: Stack) -> None:
    small, large = ({"model": "m", "messages": user("x" * size)} for size in (60 << 10, 65 << 10))
    assert second.post("egress", small).status_code == 200
    assert second.post("egress", large).status_code == 413


def test_spans_reach_the_collector_and_the_trace_reaches_the_api(
    second: Stack, collector: tuple[Collector, int], api: ApiServer
) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    url = f"{second.url('ingress')}/v1/chat/completions?card=a-secret-of-the-query"
    httpx2.post(url, json={"messages": user("Hello, who are you?")}, headers=headers, timeout=60)
    (call,) = api.received.all()
    assert trace in str(call.header("traceparent"))
    wait_for(lambda: any(bytes.fromhex(trace) in export for export in collector[0].exports))
    assert any(b"archgw" in export for export in collector[0].exports)
    assert not any(b"a-secret-of-the-query" in export for export in collector[0].exports)


def test_two_gateways_run_side_by_side(stack: Stack, second: Stack, provider: LlmProvider) -> None:
    for each in (stack, second):
        assert httpx2.get(f"{each.url('egress')}/healthz").status_code == 200
    assert {part["pid"] for part in stack.status()["parts"]}.isdisjoint(p["pid"] for p in second.status()["parts"])


@pytest.mark.runtime(Runtime.NATIVE, why="in containers, a start picks up what runs there already")
def test_second_start_in_a_run_directory_is_refused(second: Stack) -> None:
    again = second.try_up()
    assert again.returncode == 1
    assert "runs already" in again.stderr
    assert "Traceback" not in again.stderr
    assert httpx2.get(f"{second.url('egress')}/healthz").status_code == 200


def test_taken_port_is_named_before_anything_starts(second: Stack) -> None:
    taken = str(second.config["listeners"]["egress"]["port"])
    other = second.directory / "other"
    path = str(second.directory / "arch_config.yaml")
    where = ("--runtime", second.runtime, "--run-dir", str(other))
    failed = archgw("up", path, "--local", "-cpu", *where)
    assert failed.returncode == 1
    assert taken in failed.stderr or str(second.config["listeners"]["ingress"]["port"]) in failed.stderr
    assert not (other / "sockets").exists()

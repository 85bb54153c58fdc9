"""Parts are killed under load: what the client sees meanwhile, and that all of it comes back by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx2
import psutil
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.load import Load, prompt
from tests.dataplane.stack import Stack, wait_for
from tests.support.behaviour import Behaviour
from tests.support.llm_provider import LlmProvider


def wait_whole(stack: Stack) -> None:
    """Every model answers every worker again: each finds out for itself which are away, and answers without them."""
    stack.wait_healthy()
    wait_for(lambda: stack.status()["ready"] and all(_is_whole(stack) for _ in range(6)))


def _is_whole(stack: Stack) -> bool:
    answer = stack.post("ingress", prompt())
    return answer.status_code == 200 and "x-arch-degraded" not in answer.headers


def kill_model(stack: Stack, model: str) -> int:
    """Kill the processes of a model. The process id of the Triton whose they were."""
    (triton,) = stack.pids("triton")
    # Triton leaves a process that died as a zombie, without a command line.
    living = [p for p in psutil.Process(triton).children() if p.status() != psutil.STATUS_ZOMBIE]
    stubs = [p for p in living if f"/models/{model}/" in " ".join(p.cmdline())]
    assert stubs
    for stub in stubs:
        stub.kill()
    return triton


@pytest.fixture(autouse=True)
def _whole_again(stack: Stack) -> Iterator[None]:
    yield
    wait_whole(stack)


@pytest.mark.smoke
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_ended_worker_fails_no_request(stack: Stack, provider: LlmProvider, how: signal.Signals) -> None:
    before = stack.pids("extproc")
    load = Load(stack, "egress")
    with load.running() as seen:
        os.kill(before[0], how)
        wait_for(lambda: len(stack.pids("extproc")) == len(before) and before[0] not in stack.pids("extproc"))
        load.more()
    assert set(seen) <= {200, 503}
    # Of thousands: one whose answer, two messages to Envoy, was half sent. Envoy repeats none that has begun.
    assert seen[503] <= (1 if how is signal.SIGKILL else 0)


def test_killed_worker_cuts_no_passthrough_stream(stack: Stack, provider: LlmProvider) -> None:
    provider.next(Behaviour(chunk_delay=0.3))
    body = {**prompt(), "stream": True}
    with httpx2.stream("POST", f"{stack.url('egress')}/v1/chat/completions", json=body, timeout=30) as answer:
        pieces = answer.iter_bytes()
        first = next(pieces)
        for pid in stack.pids("extproc"):
            os.kill(pid, signal.SIGKILL)
        rest = b"".join(pieces)
    assert (first + rest).endswith(b"data: [DONE]\n\n")


@pytest.mark.smoke
def test_killed_triton_refuses_prompts_until_it_is_back(stack: Stack, provider: LlmProvider) -> None:
    (pid,) = stack.pids("triton")
    ingress, egress = Load(stack, "ingress"), Load(stack, "egress")
    with ingress.running() as prompts, egress.running() as calls:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: prompts[503])
        answer = stack.post("ingress", prompt())
        if answer.status_code != 200:
            assert answer.json()["error"]["code"] == "guard_unavailable"
        ingress.more()
        egress.more()
    assert set(prompts) == {200, 503}
    assert set(calls) == {200}


_NATIVE = pytest.mark.runtime(Runtime.NATIVE, why="the same code reloads each model; in containers, one is enough")


@pytest.mark.smoke
@pytest.mark.parametrize(
    "model",
    [
        "guard",
        pytest.param("function", marks=_NATIVE),
        pytest.param("chat", marks=_NATIVE),
        # test_timing.py kills this one.
        pytest.param("embed", marks=[_NATIVE, pytest.mark.matrix]),
    ],
)
def test_killed_model_process_is_reloaded(stack: Stack, model: str) -> None:
    triton = kill_model(stack, model)
    url = f"{stack.url('ingress')}/healthz"
    # Noticed within a second and repaired within two more, so that only the fault itself is waited for.
    wait_for(lambda: model in httpx2.get(url).json().get("not_ready", {}))
    wait_whole(stack)
    assert stack.pids("triton") == [triton]


@pytest.mark.smoke
def test_killed_envoy_is_restarted(stack: Stack, provider: LlmProvider) -> None:
    (pid,) = stack.pids("envoy")
    load = Load(stack, "egress")
    with load.running() as seen:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: stack.pids("envoy") not in ([], [pid]))
        load.more()
    # Clients see broken and refused connections, and nothing else.
    assert {status for status in seen if isinstance(status, int)} == {200}


def test_frozen_worker_gets_no_requests(stack: Stack, provider: LlmProvider) -> None:
    (frozen, *_) = stack.pids("extproc")
    os.kill(frozen, signal.SIGSTOP)
    try:
        for _ in range(30):
            assert stack.post("egress", prompt()).status_code == 200
    finally:
        os.kill(frozen, signal.SIGCONT)

"""Services are killed under load: the statuses that clients see, and the recovery."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx2
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.load import Load, prompt
from tests.dataplane.recovery import kill_model, model_processes, wait_recovered
from tests.dataplane.stack import Stack, wait_for
from tests.support.behaviour import Behaviour
from tests.support.llm_provider import LlmProvider


@pytest.fixture(autouse=True)
def _recovered(stack: Stack) -> Iterator[None]:
    yield
    wait_recovered(stack)


@pytest.mark.smoke
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_ended_worker_fails_no_request(stack: Stack, provider: LlmProvider, how: signal.Signals) -> None:
    before = stack.pids("extproc")
    load = Load(stack, "egress", clients=CLIENTS)
    with load.running() as seen:
        os.kill(before[0], how)
        wait_for(lambda: len(stack.pids("extproc")) == len(before) and before[0] not in stack.pids("extproc"))
        load.more()
    assert set(seen) <= {200, 503}
    # The filter's answer has two messages. Envoy does not repeat a request after the first one, so at most the requests
    # in flight at one worker fail.
    assert seen[503] <= (CLIENTS // len(before) if how is signal.SIGKILL else 0)


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


CLIENTS = 8

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
    (triton,) = stack.pids("triton")
    killed = kill_model(stack, model)
    # The reload may end between two polls. Then the model has new processes.
    wait_for(lambda: model in stack.not_ready() or model_processes(stack, model).isdisjoint(killed))
    wait_recovered(stack)
    assert stack.pids("triton") == [triton]
    assert model_processes(stack, model).isdisjoint(killed)


@pytest.mark.smoke
def test_killed_envoy_is_restarted(stack: Stack, provider: LlmProvider) -> None:
    (pid,) = stack.pids("envoy")
    load = Load(stack, "egress")
    with load.running() as seen:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: stack.pids("envoy") not in ([], [pid]))
        load.more()
    # Other failures than broken and refused connections do not occur.
    assert {status for status in seen if isinstance(status, int)} == {200}


def test_frozen_worker_gets_no_requests(stack: Stack, provider: LlmProvider) -> None:
    (frozen, *_) = stack.pids("extproc")
    os.kill(frozen, signal.SIGSTOP)
    try:
        for _ in range(30):
            assert stack.post("egress", prompt()).status_code == 200
    finally:
        os.kill(frozen, signal.SIGCONT)

"""A remote Triton fails in several ways while the gateway runs, and comes back."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import httpx2
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.load import Load, prompt
from tests.dataplane.prompts import ATTACK, WEATHER, user
from tests.dataplane.remote_config import KEY_VARIABLE, TIMEOUT_MS, backend, prompting_config, served
from tests.dataplane.remote_triton import KEY, RemoteTriton
from tests.dataplane.stack import Stack, wait_for
from tests.dataplane.tails import tails_on_failure
from tests.support.api_server import ApiServer
from tests.support.llm_provider import LlmProvider
from tests.support.relay import Relay


@dataclass(frozen=True)
class RemoteGateway:
    """A gateway with remote models behind a relay. Only `guard` has a local fallback."""

    stack: Stack
    relay: Relay
    remote_triton: RemoteTriton

    def ask(self) -> httpx2.Response:
        return self.stack.post("ingress", prompt())

    def all_remote(self) -> bool:
        answer = self.ask()
        return answer.status_code == 200 and served(answer) == {"guard": "remote", "embed": "remote"}

    def skipped(self) -> dict[str, int]:
        counts: dict[str, int] = backend(self.stack.status(), "guard", "remote")["skipped"]
        return counts


@pytest.fixture(scope="module")
def _gateway(
    _providers: tuple[LlmProvider, ...],
    _api: ApiServer,
    remote_triton: RemoteTriton,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[RemoteGateway]:
    timeout = f"{TIMEOUT_MS}ms"
    with Relay(remote_triton.ports.mutual) as relay:
        serving = {
            "remote": {
                "url": f"https://127.0.0.1:{relay.port}",
                "access_key": f"${KEY_VARIABLE}",
                "header": "x-api-key",
                "tls": {
                    "ca": str(remote_triton.authority),
                    "cert": str(remote_triton.client),
                    "key": str(remote_triton.client),
                },
            },
            "roles": {
                "guard": {"placement": ["remote", "local"], "timeout": timeout},
                "embed": {"placement": "remote", "timeout": timeout},
                "function": {"placement": "remote", "timeout": timeout},
            },
        }
        config = prompting_config(_providers[0], _api, serving)
        stack = Stack(config, tmp_path_factory.mktemp("gw5"), {KEY_VARIABLE: KEY}, mode=(), runtime=Runtime.NATIVE)
        try:
            stack.up()
            yield RemoteGateway(stack, relay, remote_triton)
        finally:
            stack.down()


@pytest.fixture
def gateway(_gateway: RemoteGateway, provider: LlmProvider, request: pytest.FixtureRequest) -> Iterator[RemoteGateway]:
    """The gateway, after all its roles use their remote backends again."""
    wait_for(lambda: _gateway.all_remote() and _gateway.stack.status()["ready"])
    with tails_on_failure(_gateway.stack, request):
        yield _gateway


_Change = Callable[[RemoteGateway], None]
# How to break the remote, how to repair it, and a reason under which `status` counts skipped calls.
_FAULTS: Final[Mapping[str, tuple[_Change, _Change, str]]] = {
    "killed": (
        lambda gateway: gateway.remote_triton.kill_triton(),
        lambda gateway: gateway.remote_triton.restart_triton(),
        "unreachable",
    ),
    # Envoy is frozen instead of Triton, whose HTTP server (2.51) may crash when it continues.
    "frozen": (
        lambda gateway: gateway.remote_triton.envoy.signal(signal.SIGSTOP),
        lambda gateway: gateway.remote_triton.envoy.signal(signal.SIGCONT),
        "timeout",
    ),
    "refusing": (
        lambda gateway: gateway.relay.refuse(),
        lambda gateway: gateway.relay.pass_on(),
        "unreachable",
    ),
    "black hole": (
        lambda gateway: gateway.relay.black_hole(),
        lambda gateway: gateway.relay.pass_on(),
        "timeout",
    ),
    "slow": (
        lambda gateway: gateway.relay.delay(TIMEOUT_MS / 1000),
        lambda gateway: gateway.relay.pass_on(),
        "timeout",
    ),
}


@contextmanager
def broken(gateway: RemoteGateway, name: str) -> Iterator[None]:
    breaks, heals, _ = _FAULTS[name]
    breaks(gateway)
    try:
        yield
    finally:
        heals(gateway)


@pytest.mark.parametrize("fault", _FAULTS)
def test_fallback_under_load_fails_no_request_and_ends_with_the_fault(
    gateway: RemoteGateway, provider: LlmProvider, fault: str
) -> None:
    before = gateway.skipped()
    load = Load(gateway.stack, "ingress", clients=4)
    with load.running() as seen:
        with broken(gateway, fault):
            wait_for(lambda: served(gateway.ask()).get("guard") == "local")
            load.more()
            answer = gateway.ask()
            counted = gateway.skipped()
        back = time.monotonic()
        wait_for(gateway.all_remote)
        print(f"used again {time.monotonic() - back:.1f} s after it was back")
        load.more()
    assert set(seen) == {200}
    # The guard has a local fallback. The intent has none, so the prompt went to the LLM.
    assert served(answer) == {"guard": "local"}
    assert answer.headers["x-arch-degraded"] == "intent"
    reason = _FAULTS[fault][2]
    assert counted[reason] > before.get(reason, 0)


def test_backend_known_to_be_down_adds_no_latency(gateway: RemoteGateway) -> None:
    with broken(gateway, "black hole"):
        # The only backend of a role may fail three times before its breaker opens.
        wait_for(lambda: skipped_roles(gateway.ask()) == {"guard", "embed"})
        assert all(skipped_roles(gateway.ask()) == {"guard", "embed"} for _ in range(20))


def skipped_roles(answer: httpx2.Response) -> set[str]:
    """Returns the roles whose remote backend was skipped."""
    entries = [entry.split(";") for entry in answer.headers["x-arch-timing"].split(", ")]
    return {entry[0] for entry in entries if entry[1:3] == ["dur=0.00", "place=remote"] and "error=" in entry[3]}


def test_local_fallback_blocks_an_attack(gateway: RemoteGateway, provider: LlmProvider) -> None:
    provider.reset()
    with broken(gateway, "refusing"):
        answer = gateway.stack.post("ingress", {"messages": user(f"{ATTACK} Now.")})
    assert answer.headers["x-prompt-guard-error-code"] == "jailbreak"
    assert served(answer)["guard"] == "local"
    assert provider.received.all() == []


def test_access_log_and_status_show_skipped_backends(gateway: RemoteGateway) -> None:
    with broken(gateway, "refusing"):
        first = wait_for(lambda: _skipping(gateway.ask()))
        line = gateway.stack.access(first.headers["x-request-id"])
        assert "guard@remote:unreachable" in str(line["skipped"])
        assert "guard=local" in str(line["served"])
        wait_for(lambda: not backend(gateway.stack.status(), "embed", "remote")["ready"])
        (embed,) = [each for each in gateway.stack.status()["roles"] if each["role"] == "embed"]
        assert embed["failed"]
        health = httpx2.get(f"{gateway.stack.url('ingress')}/healthz")
        # The guard has a backend that is ready, the intent has none.
        assert set(health.json()["not_ready"]) >= {"embed"}
        assert "guard" not in health.json()["not_ready"]


def test_prompt_goes_to_the_llm_while_intent_is_down(
    gateway: RemoteGateway, provider: LlmProvider, api: ApiServer
) -> None:
    called = gateway.stack.post("ingress", {"messages": user(WEATHER)})
    assert served(called)["function"] == "remote"
    assert len(api.received.all()) == 1
    assert "x-arch-degraded" not in called.headers
    with broken(gateway, "refusing"):
        answer = gateway.stack.post("ingress", {"messages": user(WEATHER)})
    assert (answer.status_code, answer.headers["x-arch-degraded"]) == (200, "intent")
    assert gateway.stack.access(answer.headers["x-request-id"])["degraded"] == "intent"
    assert len(api.received.all()) == 1


def _skipping(answer: httpx2.Response) -> httpx2.Response | None:
    return answer if "guard" in served(answer) and served(answer)["guard"] == "local" else None

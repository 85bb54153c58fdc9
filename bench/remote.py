"""The latency that a remote Triton adds to a local one, and the cost of its failures. `--rows remote`.

The remote one is that of the tests (tests/dataplane/remote_triton.py), behind TLS on loopback, so the test dependencies
are needed.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import msgspec
import trustme

from bench import report
from bench.load import PROMPT, BenchError
from bench.report import Failure, RoleLatency
from controlplane.runtime.runner import Runtime
from extproc.inference.role_clients import RoleClients, open_models
from extproc.shared import filter_config
from extproc.shared.filter_config import Inference, Place, Server
from extproc.shared.roles import Role
from tests.dataplane.remote_config import KEY_VARIABLE, guarded_config, prompting_config, served
from tests.dataplane.remote_triton import KEY, NAME, RemoteTriton, running_triton
from tests.dataplane.stack import Stack, wait_for
from tests.support.api_server import ApiServer
from tests.support.llm_provider import LlmProvider
from tests.support.relay import Relay

_WARM_UP: Final = 50
_CALLS: Final = 400
_TIMEOUT_MS: Final = 400
_COUNT: Final = itertools.count()
_TOOL: Final[filter_config.JsonValue] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather forecast for a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}
_CALLS_BY_ROLE: Final[Mapping[Role, Callable[[RoleClients], Awaitable[object]]]] = {
    Role.GUARD: lambda models: models.attack_probabilities(Role.GUARD, [PROMPT]),
    Role.EMBED: lambda models: models.embed([PROMPT]),
    Role.NLI: lambda models: models.entailments(PROMPT, ["The user asks for the weather"]),
    Role.FUNCTION: lambda models: models.call_functions([{"role": "user", "content": PROMPT}], [_TOOL]),
}


def measure(scratch: Path, say: Callable[[str], None]) -> list[str]:
    """Returns the report as Markdown."""
    authority = trustme.CA()
    with running_triton(authority) as remote_triton, LlmProvider() as provider, ApiServer() as api:
        mocks = (provider, api)
        say("remote: latency of each role")
        latencies = asyncio.run(_latencies(remote_triton, mocks, scratch))
        say("remote: failures")
        failures = list(_failures(remote_triton, provider, scratch))
    return [*report.role_latencies(latencies), "", *report.failures(failures)]


async def _latencies(
    remote_triton: RemoteTriton, mocks: tuple[LlmProvider, ApiServer], scratch: Path
) -> list[RoleLatency]:
    """Alternates the calls, so that other load on the machine affects both."""
    serving = {
        "remote": _remote(remote_triton, f"grpcs://127.0.0.1:{remote_triton.ports.tls}"),
        "roles": {role.value: {"placement": "remote"} for role in _CALLS_BY_ROLE},
    }
    with _started(prompting_config(*mocks, serving), scratch / "ways", mode=()) as stack:
        far = filter_config.load(stack.run_dir / "filter.json").inference
        if far is None:
            raise BenchError("the gateway was configured without models")
        async with open_models(far) as remote, open_models(_direct(far, remote_triton)) as direct:
            return [
                RoleLatency(role.value, *await _alternately(direct, remote, call))
                for role, call in _CALLS_BY_ROLE.items()
            ]


def _direct(far: Inference, remote_triton: RemoteTriton) -> Inference:
    """Returns the settings to call the same models directly."""
    roles = {
        role: msgspec.structs.replace(
            each, backends=tuple(msgspec.structs.replace(at, place=Place.LOCAL) for at in each.backends)
        )
        for role, each in far.roles.items()
    }
    return msgspec.structs.replace(
        far, servers={Place.LOCAL: Server(address=f"127.0.0.1:{remote_triton.grpc}")}, roles=roles
    )


async def _alternately(
    direct: RoleClients, remote: RoleClients, call: Callable[[RoleClients], Awaitable[object]]
) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_CALLS):
        for models, durations in zip((direct, remote), times, strict=True):
            began = time.perf_counter()
            await call(models)
            durations.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[0][_WARM_UP:]), statistics.median(times[1][_WARM_UP:])


def _failures(remote_triton: RemoteTriton, provider: LlmProvider, scratch: Path) -> Iterator[Failure]:
    with Relay(remote_triton.ports.tls) as relay:
        both = {
            "remote": _remote(remote_triton, f"grpcs://127.0.0.1:{relay.port}"),
            "roles": {"guard": {"placement": ["remote", "local"], "timeout": f"{_TIMEOUT_MS}ms"}},
        }
        with (
            _started(guarded_config(provider, both), scratch / "both", mode=()) as stack,
            _started(guarded_config(provider, {}), scratch / "here", mode=("--local", "-cpu")) as here,
        ):
            yield _failure("killed", remote_triton.kill_triton, remote_triton.restart_triton, stack, here)
            yield _failure("refuses connections", relay.refuse, relay.pass_on, stack, here)
            yield _failure("black hole", relay.black_hole, relay.pass_on, stack, here)
            yield _failure("slow", lambda: relay.delay(_TIMEOUT_MS / 1000), relay.pass_on, stack, here)


def _failure(how: str, breaks: Callable[[], None], heals: Callable[[], None], stack: Stack, here: Stack) -> Failure:
    client, other = _Client(stack), _Client(here)
    wait_for(lambda: client.send()[1] == "remote")
    for _ in range(_WARM_UP):
        client.send()
        other.send()
    breaks()
    first, _ = client.send()
    wait_for(lambda: client.send()[1] == "local")
    later, without = [], []
    for _ in range(_CALLS):
        took, backend = client.send()
        if backend != "local":
            raise BenchError(f"{how}: answered by {backend}")
        later.append(took)
        without.append(other.send()[0])
    heals()
    back = time.perf_counter()
    wait_for(lambda: client.send()[1] == "remote")
    back_s = time.perf_counter() - back
    return Failure(how, first, statistics.median(later), statistics.median(without), back_s)


class _Client:
    """A client that sends each prompt once, since guards cache probabilities."""

    def __init__(self, stack: Stack) -> None:
        self._url = f"{stack.url('egress')}/v1/chat/completions"
        self._client = httpx2.Client(timeout=30)

    def send(self) -> tuple[float, str | None]:
        """Sends one prompt. Returns the milliseconds, and the backend that the guard used."""
        body = {"messages": [{"role": "user", "content": PROMPT.replace("00000000", f"{next(_COUNT):08}")}]}
        began = time.perf_counter()
        answer = self._client.post(self._url, json=body)
        took = (time.perf_counter() - began) * 1000
        if answer.status_code != 200:
            raise BenchError(f"{self._url}: {answer.status_code} {answer.text}")
        return took, served(answer).get("guard")


def _remote(remote_triton: RemoteTriton, url: str) -> dict[str, Any]:
    return {
        "url": url,
        "access_key": f"${KEY_VARIABLE}",
        "tls": {"ca": str(remote_triton.authority), "server_name": NAME},
    }


@contextmanager
def _started(config: dict[str, Any], directory: Path, mode: tuple[str, ...]) -> Iterator[Stack]:
    stack = Stack(config, directory, {KEY_VARIABLE: KEY}, mode, runtime=Runtime.NATIVE)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()

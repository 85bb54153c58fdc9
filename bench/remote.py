"""A Triton far away against one here: what the way there adds, and what its failures cost. `--rows remote`.

The far one is that of the tests (tests/dataplane/cloud.py), behind TLS on loopback; so this needs what tests need.
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
from bench.report import Failure, Way
from controlplane.runtime.runner import Runtime
from extproc.inference.role_clients import RoleClients, open_models
from extproc.shared import filter_config
from extproc.shared.filter_config import Inference, Place, Role, Server
from tests.dataplane.cloud import KEY, NAME, Cloud, running
from tests.dataplane.remote import KEY_VARIABLE, guarded_config, prompting_config, served
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
_ASKED: Final[Mapping[Role, Callable[[RoleClients], Awaitable[object]]]] = {
    Role.GUARD: lambda models: models.attack_probabilities(Role.GUARD, [PROMPT]),
    Role.EMBED: lambda models: models.embed([PROMPT]),
    Role.NLI: lambda models: models.entailments(PROMPT, ["The user asks for the weather"]),
    Role.FUNCTION: lambda models: models.call_functions([{"role": "user", "content": PROMPT}], [_TOOL]),
}


def measure(scratch: Path, say: Callable[[str], None]) -> list[str]:
    """Markdown."""
    authority = trustme.CA()
    with running(authority) as cloud, LlmProvider() as provider, ApiServer() as api:
        mocks = (provider, api)
        say("remote: the way there, each role")
        ways = asyncio.run(_ways(cloud, mocks, scratch))
        say("remote: failures")
        failures = list(_failures(cloud, provider, scratch))
    return [*report.ways(ways), "", *report.failures(failures)]


async def _ways(cloud: Cloud, mocks: tuple[LlmProvider, ApiServer], scratch: Path) -> list[Way]:
    """Call by call in turn, so that whatever else the machine does falls on both."""
    serving = {
        "remote": _remote(cloud, f"grpcs://127.0.0.1:{cloud.doors.tls}"),
        "roles": {role.value: {"backend": "remote"} for role in _ASKED},
    }
    with _started(prompting_config(*mocks, serving), scratch / "ways", mode=()) as stack:
        far = filter_config.load(stack.run_dir / "filter.json").inference
        if far is None:
            raise BenchError("the gateway asks no model")
        async with open_models(far) as remote, open_models(_straight(far, cloud)) as straight:
            return [Way(role.value, *await _in_turn(straight, remote, ask)) for role, ask in _ASKED.items()]


def _straight(far: Inference, cloud: Cloud) -> Inference:
    """The same models without anything between."""
    roles = {
        role: msgspec.structs.replace(
            each, backends=tuple(msgspec.structs.replace(at, place=Place.LOCAL) for at in each.backends)
        )
        for role, each in far.roles.items()
    }
    return msgspec.structs.replace(far, servers={Place.LOCAL: Server(address=f"127.0.0.1:{cloud.grpc}")}, roles=roles)


async def _in_turn(
    straight: RoleClients, remote: RoleClients, ask: Callable[[RoleClients], Awaitable[object]]
) -> tuple[float, float]:
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(_CALLS):
        for models, its in zip((straight, remote), times, strict=True):
            began = time.perf_counter()
            await ask(models)
            its.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[0][_WARM_UP:]), statistics.median(times[1][_WARM_UP:])


def _failures(cloud: Cloud, provider: LlmProvider, scratch: Path) -> Iterator[Failure]:
    with Relay(cloud.doors.tls) as relay:
        both = {
            "remote": _remote(cloud, f"grpcs://127.0.0.1:{relay.port}"),
            "roles": {"guard": {"backend": ["remote", "local"], "timeout": f"{_TIMEOUT_MS}ms"}},
        }
        with (
            _started(guarded_config(provider, both), scratch / "both", mode=()) as stack,
            _started(guarded_config(provider, {}), scratch / "here", mode=("--local", "-cpu")) as here,
        ):
            yield _failure("killed", cloud.kill_triton, cloud.restart_triton, stack, here)
            yield _failure("refuses connections", relay.refuse, relay.pass_on, stack, here)
            yield _failure("black hole", relay.black_hole, relay.pass_on, stack, here)
            yield _failure("slow", lambda: relay.delay(_TIMEOUT_MS / 1000), relay.pass_on, stack, here)


def _failure(how: str, breaks: Callable[[], None], heals: Callable[[], None], stack: Stack, here: Stack) -> Failure:
    client, other = _Client(stack), _Client(here)
    wait_for(lambda: client.ask()[1] == "remote")
    for _ in range(_WARM_UP):
        client.ask()
        other.ask()
    breaks()
    first, _ = client.ask()
    wait_for(lambda: client.ask()[1] == "local")
    later, without = [], []
    for _ in range(_CALLS):
        took, place = client.ask()
        if place != "local":
            raise BenchError(f"{how}: answered by {place}")
        later.append(took)
        without.append(other.ask()[0])
    heals()
    back = time.perf_counter()
    wait_for(lambda: client.ask()[1] == "remote")
    back_s = time.perf_counter() - back
    return Failure(how, first, statistics.median(later), statistics.median(without), back_s)


class _Client:
    """One that never says the same twice: guards remember what they have read."""

    def __init__(self, stack: Stack) -> None:
        self._url = f"{stack.url('egress')}/v1/chat/completions"
        self._client = httpx2.Client(timeout=30)

    def ask(self) -> tuple[float, str | None]:
        """Milliseconds, and where the guard read it."""
        body = {"messages": [{"role": "user", "content": PROMPT.replace("00000000", f"{next(_COUNT):08}")}]}
        began = time.perf_counter()
        answer = self._client.post(self._url, json=body)
        took = (time.perf_counter() - began) * 1000
        if answer.status_code != 200:
            raise BenchError(f"{self._url}: {answer.status_code} {answer.text}")
        return took, served(answer).get("guard")


def _remote(cloud: Cloud, url: str) -> dict[str, Any]:
    return {
        "url": url,
        "access_key": f"${KEY_VARIABLE}",
        "tls": {"ca": str(cloud.authority), "server_name": NAME},
    }


@contextmanager
def _started(config: dict[str, Any], directory: Path, mode: tuple[str, ...]) -> Iterator[Stack]:
    stack = Stack(config, directory, {KEY_VARIABLE: KEY}, mode, runtime=Runtime.NATIVE)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()

"""Two remote Tritons behind one role: both serve, either is enough, and without both the guard fails open."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pytest
import trustme

from controlplane.runtime.runner import Runtime
from tests.dataplane.load import Load, prompt
from tests.dataplane.remote_config import KEY_VARIABLE, guarded_config, served
from tests.dataplane.remote_triton import KEY, RemoteTriton, running_triton
from tests.dataplane.stack import Stack, wait_for
from tests.dataplane.tails import tails_on_failure
from tests.support.llm_provider import LlmProvider


@pytest.fixture(scope="module")
def remote_tritons(remote_triton: RemoteTriton, authority: trustme.CA) -> Iterator[tuple[RemoteTriton, RemoteTriton]]:
    with running_triton(authority) as second:
        yield remote_triton, second


@pytest.fixture(scope="module")
def _two(
    remote_tritons: tuple[RemoteTriton, RemoteTriton],
    _providers: tuple[LlmProvider, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    urls = [f"grpc://127.0.0.1:{each.ports.plain}" for each in remote_tritons]
    serving = {"remote": {"url": urls, "access_key": f"${KEY_VARIABLE}"}}
    config = guarded_config(_providers[0], serving)
    config["prompt_guards"]["input_guards"]["jailbreak"]["on_error"] = "allow"
    stack = Stack(config, tmp_path_factory.mktemp("gw6"), {KEY_VARIABLE: KEY}, mode=(), runtime=Runtime.NATIVE)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def two(_two: Stack, provider: LlmProvider, request: pytest.FixtureRequest) -> Iterator[Stack]:
    wait_for(lambda: is_read(_two))
    with tails_on_failure(_two, request):
        yield _two


def is_read(stack: Stack) -> bool:
    """Returns True if the guard reads prompts now."""
    answer = stack.post("egress", prompt())
    return answer.status_code == 200 and served(answer) == {"guard": "remote"}


def unread(stack: Stack) -> dict[str, int]:
    """Returns the number of prompts that passed unread, by reason."""
    (guard,) = [each for each in stack.status()["roles"] if each["role"] == "guard"]
    failed: dict[str, int] = guard["failed"]
    return failed


def test_both_servers_get_requests(two: Stack, remote_tritons: tuple[RemoteTriton, RemoteTriton]) -> None:
    before = [each.calls("guard") for each in remote_tritons]
    with Load(two, "egress").running() as seen:
        pass
    assert set(seen) == {200}
    assert all(each.calls("guard") > calls + 5 for each, calls in zip(remote_tritons, before, strict=True))


def test_no_local_triton_runs_without_local_models(two: Stack) -> None:
    assert two.pids("triton") == []


@pytest.mark.parametrize(
    ("breaks", "heals"),
    [
        pytest.param(RemoteTriton.kill_triton, RemoteTriton.restart_triton, id="the server"),
        pytest.param(RemoteTriton.kill, RemoteTriton.start, id="its machine"),
    ],
)
def test_killed_server_fails_no_request_and_is_used_again(
    two: Stack,
    remote_tritons: tuple[RemoteTriton, RemoteTriton],
    breaks: Callable[[RemoteTriton], None],
    heals: Callable[[RemoteTriton], None],
) -> None:
    before = unread(two)
    load = Load(two, "egress")
    with load.running() as seen:
        breaks(remote_tritons[1])
        try:
            load.more(100)
        finally:
            heals(remote_tritons[1])
        wait_for(lambda: remote_tritons[1].calls("guard"))
    assert set(seen) == {200}
    assert unread(two) == before


def test_guard_fails_open_without_both_servers(two: Stack, remote_tritons: tuple[RemoteTriton, RemoteTriton]) -> None:
    for each in remote_tritons:
        each.kill()
    try:
        answer = wait_for(lambda: _unread(two.post("egress", prompt())))
        assert answer.headers["x-arch-degraded"] == "guard"
        line = two.access(answer.headers["x-request-id"])
        assert (line["guard"], line["degraded"]) == ("failed_open", "guard")
        assert unread(two)
    finally:
        for each in remote_tritons:
            each.start()
    wait_for(lambda: is_read(two))


def _unread(answer: httpx2.Response) -> httpx2.Response | None:
    return answer if answer.status_code == 200 and not served(answer) else None

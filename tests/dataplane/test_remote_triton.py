"""`archgw up` without options: guard and function model on a remote Triton over TLS, intent on the local CPU."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.load import prompt
from tests.dataplane.prompts import ATTACK, WEATHER, user
from tests.dataplane.remote_config import BLOCKED, KEY_VARIABLE, backend, guarded_config, prompting_config, served
from tests.dataplane.remote_triton import KEY, NAME, RemoteTriton
from tests.dataplane.stack import Stack, archgw, files_with, wait_for
from tests.support.api_server import ApiServer
from tests.support.llm_provider import LlmProvider


@dataclass(frozen=True)
class Started:
    stack: Stack
    stderr: str


@pytest.fixture(scope="module")
def _remote(
    runtime: Runtime,
    _providers: tuple[LlmProvider, ...],
    _api: ApiServer,
    remote_triton: RemoteTriton,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Started]:
    serving = {
        "remote": {
            "url": f"grpcs://127.0.0.1:{remote_triton.ports.tls}",
            "access_key": f"${KEY_VARIABLE}",
            # Relative to the configuration file.
            "tls": {"ca": "authority.pem", "server_name": NAME},
        }
    }
    directory = tmp_path_factory.mktemp("gw4")
    (directory / "authority.pem").write_bytes(remote_triton.authority.read_bytes())
    stack = Stack(
        prompting_config(_providers[0], _api, serving), directory, {KEY_VARIABLE: KEY}, mode=(), runtime=runtime
    )
    try:
        yield Started(stack, stack.up())
    finally:
        stack.down()


@pytest.fixture
def remote(_remote: Started, request: pytest.FixtureRequest) -> Iterator[Stack]:
    failed_before = request.session.testsfailed
    yield _remote.stack
    if request.session.testsfailed > failed_before:
        print(_remote.stderr, _remote.stack.tails())


def test_up_says_once_that_intent_runs_on_the_local_cpu(_remote: Started) -> None:
    lines = [line for line in _remote.stderr.splitlines() if "CPU" in line]
    assert len(lines) == 1
    assert "intent" in lines[0]


@pytest.mark.smoke
def test_remote_guard_blocks_an_attack(remote: Stack, remote_triton: RemoteTriton, provider: LlmProvider) -> None:
    before = remote_triton.calls("guard")
    answer = remote.post("ingress", {"messages": user(ATTACK)})
    assert answer.headers["x-prompt-guard-error-code"] == "jailbreak"
    assert answer.json()["choices"][0]["message"]["content"] == BLOCKED
    assert served(answer)["guard"] == "remote"
    assert remote_triton.calls("guard") > before
    assert provider.received.all() == []


@pytest.mark.smoke
def test_local_intent_and_remote_function_model_serve_a_prompt(
    remote: Stack, remote_triton: RemoteTriton, provider: LlmProvider, api: ApiServer
) -> None:
    before = remote_triton.calls("function"), remote_triton.calls("embed")
    answer = remote.post("ingress", {"messages": user(WEATHER)})
    assert answer.status_code == 200
    (call,) = api.received.all()
    arguments = call.json()
    assert (arguments["city"], arguments["days"]) == ("Seattle", 3)
    assert served(answer) == {"guard": "remote", "embed": "local", "function": "remote"}
    assert (remote_triton.calls("function") > before[0], remote_triton.calls("embed")) == (True, before[1])


def test_timing_header_splits_a_remote_call(remote: Stack, provider: LlmProvider) -> None:
    answer = remote.post("ingress", prompt())
    entry = next(each for each in answer.headers["x-arch-timing"].split(", ") if each.startswith("guard;"))
    parts = dict(part.split("=") for part in entry.split(";")[1:])
    # The example's models report their compute time.
    total, compute = float(parts["dur"]), float(parts["compute"])
    assert 0 < compute < total
    assert float(parts["queue"]) + compute + float(parts["network"]) == pytest.approx(total, abs=0.1)
    line = remote.access(answer.headers["x-request-id"])
    assert line["served"] == "guard=remote,embed=local" or line["served"] == "embed=local,guard=remote"


@pytest.mark.smoke
def test_status_shows_backends_and_their_durations(remote: Stack, remote_triton: RemoteTriton) -> None:
    remote.post("ingress", {"messages": user(f"{WEATHER} Thank you.")})
    status = remote.status()
    assert status["ready"]
    for role in ("guard", "function"):
        there = backend(status, role, "remote")
        assert there["where"] == f"grpcs://127.0.0.1:{remote_triton.ports.tls}"
        assert (there["model"], there["ready"]) == (role, True)
        assert there["calls"] >= 1
        assert there["p50_ms"] > 0
        assert there["queue_ms"] >= 0
        assert there["compute_ms"] > 0
    assert backend(status, "embed", "local")["where"] == "CPU"
    text = archgw("status", "--run-dir", str(remote.run_dir)).stdout
    for word in ("guard", "function", "embed", f"grpcs://127.0.0.1:{remote_triton.ports.tls}", "CPU", "ready"):
        assert word in text


def test_local_triton_serves_local_models_only(remote: Stack) -> None:
    assert sorted(folder.name for folder in (remote.run_dir / "models").iterdir()) == ["embed"]


@pytest.mark.smoke
def test_the_key_is_in_one_file_that_only_its_owner_may_read(remote: Stack) -> None:
    (file,) = files_with(remote.run_dir, KEY)
    assert file.parent == remote.run_dir / "secrets"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.smoke
def test_the_key_is_on_no_admin_page_in_no_command_line_and_no_environment(remote: Stack) -> None:
    transport = httpx2.HTTPTransport(uds=str(remote.sockets / "admin.sock"))
    with httpx2.Client(transport=transport, base_url="http://admin") as admin:
        pages = [admin.get(page).text for page in ("/config_dump?include_eds", "/clusters", "/stats", "/certs")]
    assert "triton_remote" in pages[0]
    commands = subprocess.run(["/bin/ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    environments = [Path(f"/proc/{part['pid']}/environ").read_bytes().decode() for part in remote.status()["parts"]]
    assert len(environments) >= 3
    assert not [text for text in (*pages, commands, *environments) if KEY in text]


def test_prompt_is_refused_while_the_function_model_is_unloaded(
    remote: Stack, remote_triton: RemoteTriton, provider: LlmProvider, api: ApiServer
) -> None:
    def answered(status: int) -> Any:
        answer = remote.post("ingress", {"messages": user(WEATHER)})
        return answer if answer.status_code == status else None

    remote_triton.unload("function")
    try:
        refused = wait_for(lambda: answered(503))
        assert refused.json()["error"]["code"] == "model_unavailable"
        wait_for(lambda: not backend(remote.status(), "function", "remote")["ready"])
        assert api.received.all() == [] or all(call.json()["city"] == "Seattle" for call in api.received.all())
        # Prompts that need no function model are still served.
        assert remote.post("ingress", prompt()).status_code == 200
    finally:
        remote_triton.load("function")
    wait_for(lambda: answered(200))


def test_prompts_are_refused_while_the_guard_is_down(
    remote: Stack, remote_triton: RemoteTriton, provider: LlmProvider
) -> None:
    remote_triton.kill_triton()
    try:
        refused = wait_for(lambda: _unless_ok(remote.post("ingress", prompt())))
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "guard_unavailable")
        assert provider.received.all() == []
        url = f"{remote.url('ingress')}/healthz"
        missing = wait_for(lambda: httpx2.get(url).json().get("not_ready", {}).get("guard"))
        assert missing in {"unreachable", "overloaded"}
        # /healthz shows only the reason, no address.
        assert str(remote_triton.ports.tls) not in json.dumps(httpx2.get(url).json())
        assert remote.post("egress", {"model": "m", **prompt()}).status_code == 200
    finally:
        remote_triton.restart_triton()
    wait_for(lambda: remote.post("ingress", prompt()).status_code == 200)
    remote.wait_healthy()


@pytest.mark.runtime(Runtime.NATIVE, why="the other gateway of this module reaches the same server from containers")
def test_remote_over_plain_http_with_a_key_header(
    runtime: Runtime, remote_triton: RemoteTriton, provider: LlmProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    serving = {
        "remote": {
            "url": f"http://localhost:{remote_triton.ports.plain}",
            "access_key": f"${KEY_VARIABLE}",
            "header": "x-api-key",
        }
    }
    directory = tmp_path_factory.mktemp("gw7")
    stack = Stack(guarded_config(provider, serving), directory, {KEY_VARIABLE: KEY}, mode=(), runtime=runtime)
    try:
        assert "plain text" in stack.up()
        answer = stack.post("egress", {"messages": user(ATTACK)})
        assert answer.headers["x-prompt-guard-error-code"] == "jailbreak"
        assert served(answer) == {"guard": "remote"}
    finally:
        stack.down()


def _unless_ok(answer: httpx2.Response) -> httpx2.Response | None:
    return None if answer.status_code == 200 else answer

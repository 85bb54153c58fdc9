"""Each key is in one file only, of mode 0600, that Envoy reads."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import httpx2
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.gateway import KEYS
from tests.dataplane.stack import CLIENT_KEY, Stack, files_with
from tests.support.llm_provider import LlmProvider


@pytest.fixture
def used(stack: Stack, provider: LlmProvider) -> Stack:
    """A gateway that has used its keys, also in failed requests."""
    with stack.client("egress") as client:
        client.chat.completions.create(model="gpt-main", messages=[{"role": "user", "content": "hi"}])
    stack.post("egress", {"messages": 3}, {"authorization": f"Bearer {CLIENT_KEY}"})
    stack.post("egress", {"model": "gpt-gone", "messages": [{"role": "user", "content": "x"}]})
    return stack


@pytest.mark.smoke
@pytest.mark.parametrize("name", KEYS)
def test_key_is_in_one_file_of_mode_0600(used: Stack, name: str) -> None:
    (file,) = files_with(used.run_dir, KEYS[name])
    assert file.parent == used.run_dir / "secrets"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


@pytest.mark.smoke
def test_client_key_is_in_no_file(used: Stack) -> None:
    assert files_with(used.run_dir, CLIENT_KEY) == []


@pytest.mark.smoke
def test_no_key_is_on_an_admin_page(used: Stack) -> None:
    transport = httpx2.HTTPTransport(uds=str(used.sockets / "admin.sock"))
    with httpx2.Client(transport=transport, base_url="http://admin") as admin:
        pages = [
            admin.get(page).text for page in ("/config_dump?include_eds", "/clusters", "/stats", "/certs", "/init_dump")
        ]
    assert "provider_main" in pages[0]
    assert not [key for key in (*KEYS.values(), CLIENT_KEY) for page in pages if key in page]


@pytest.mark.smoke
def test_no_key_is_in_a_command_line_or_environment(used: Stack) -> None:
    commands = subprocess.run(["/bin/ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    pids = [part["pid"] for part in used.status()["parts"]]
    environments = [Path(f"/proc/{pid}/environ").read_bytes().decode() for pid in pids]
    assert len(environments) >= 3
    assert not [key for key in KEYS.values() for text in (commands, *environments) if key in text]


@pytest.mark.runtime(Runtime.NATIVE, why="of containers, the engine says what is open: tests/docker/test_containers.py")
def test_only_loopback_is_listened_on(used: Stack) -> None:
    sockets = subprocess.run(["/bin/ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    pids = {f"pid={part['pid']}," for part in used.status()["parts"]}
    ours = [line.split()[3] for line in sockets.splitlines() if any(pid in line for pid in pids)]
    assert ours
    assert {address.rpartition(":")[0] for address in ours} <= {"127.0.0.1", "[::ffff:127.0.0.1]"}

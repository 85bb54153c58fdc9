"""`archgw down`: running requests finish, new ones are refused."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx2
import pytest
import yaml

from controlplane.runtime.gateway_state import load_state
from controlplane.runtime.run_directory import run_layout
from controlplane.runtime.runner import Runtime
from tests.dataplane.egress_only import egress_config, egress_only
from tests.dataplane.load import Load
from tests.dataplane.stack import ARCHGW, Stack, archgw, wait_for
from tests.support.behaviour import WAITS_FOR_RELEASE, Behaviour
from tests.support.llm_provider import LlmProvider

DONE: Final = b"data: [DONE]\n\n"
ENDLESS: Final = Behaviour(text="word " * 600, chunk_delay=0.2)
CUT: Final = b"(cut)"
BODY: Final = {"messages": [{"role": "user", "content": "Tell me a story"}]}

NATIVE: Final = pytest.mark.runtime(Runtime.NATIVE, why="containers are drained by the same code, and start slowly")


@pytest.fixture
def small(runtime: Runtime, provider: LlmProvider, tmp_path: Path) -> Iterator[Stack]:
    with egress_only(provider, tmp_path, runtime) as stack:
        yield stack


@contextmanager
def archgw_down(stack: Stack, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Runs `archgw down` inside the block, and waits for its end."""
    command = [ARCHGW, "down", *options, "--run-dir", str(stack.run_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as down:
        yield down


def draining(stack: Stack) -> bool:
    answer = httpx2.get(f"{stack.url('egress')}/healthz", timeout=5)
    return answer.status_code == 503 and answer.json()["not_ready"] == {"gateway": "draining"}


class Stream:
    """A client that reads a streamed completion. The constructor waits for the first piece."""

    def __init__(self, stack: Stack) -> None:
        self._pieces: list[bytes] = []
        self._pool = ThreadPoolExecutor(1)
        self._reading = self._pool.submit(self._read, f"{stack.url('egress')}/v1/chat/completions")
        wait_for(lambda: self._pieces or self._reading.done())

    def _read(self, url: str) -> bytes:
        try:
            with httpx2.stream("POST", url, json={**BODY, "stream": True}, timeout=60) as answer:
                for piece in answer.iter_bytes():
                    self._pieces.append(piece)
        except httpx2.TransportError:
            self._pieces.append(CUT)
        return b"".join(self._pieces)

    def end(self) -> bytes:
        """Returns all pieces. The last one is CUT if the connection broke."""
        with self._pool:
            return self._reading.result(60)


@pytest.mark.smoke
def test_down_finishes_running_requests_and_refuses_new_ones(small: Stack, provider: LlmProvider) -> None:
    provider.on("A slow answer", WAITS_FOR_RELEASE)
    provider.on("Tell me a story", WAITS_FOR_RELEASE)
    stream = Stream(small)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(small.post, "egress", {"messages": [{"role": "user", "content": "A slow answer"}]})
        wait_for(lambda: len(provider.received.all()) == 2)
        with archgw_down(small) as down:
            wait_for(lambda: draining(small))
            refused = small.post("egress", BODY)
            assert refused.status_code == 503
            assert refused.json()["error"]["code"] == "gateway_unavailable"
            assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
            provider.release()
            assert slow.result().status_code == 200
            assert stream.end().endswith(DONE)
            output = down.communicate(timeout=60)
    assert down.returncode == 0, output
    assert len(provider.received.all()) == 2
    assert not small.status()["running"]


@NATIVE
@pytest.mark.parametrize(
    ("options", "message"), [(("--now",), ""), (("--grace", "1s"), "1 request did not end within 1 s")]
)
def test_requests_are_cut_at_the_end_of_the_grace_period(
    small: Stack, provider: LlmProvider, options: tuple[str, ...], message: str
) -> None:
    provider.next(ENDLESS)
    stream = Stream(small)
    with archgw_down(small, *options) as down:
        assert stream.end().endswith(CUT)
        _, stderr = down.communicate(timeout=60)
    assert down.returncode == 0
    assert stderr.rstrip().endswith(message)
    assert not small.status()["running"]


@NATIVE
@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(each, marks=pytest.mark.matrix) for each in (signal.SIGINT, signal.SIGHUP))],
)
def test_signal_during_drain_stops_at_once(small: Stack, provider: LlmProvider, number: signal.Signals) -> None:
    provider.next(ENDLESS)
    stream = Stream(small)
    with archgw_down(small) as down:
        wait_for(lambda: draining(small))
        down.send_signal(number)
        assert stream.end().endswith(CUT)
        _, stderr = down.communicate(timeout=60)
    assert down.returncode == 0
    assert "stopping at once" in stderr
    assert not small.status()["running"]


@NATIVE
def test_idle_connection_does_not_delay_down(small: Stack, provider: LlmProvider) -> None:
    with httpx2.Client() as client:
        client.post(f"{small.url('egress')}/v1/chat/completions", json=BODY).raise_for_status()
        with archgw_down(small, "--grace", "10m") as down:
            _, stderr = down.communicate(timeout=60)
    assert (down.returncode, stderr) == (0, "")


@NATIVE
def test_down_under_load_loses_no_accepted_request(small: Stack, provider: LlmProvider) -> None:
    with Load(small, "egress").running() as seen, archgw_down(small, "--grace", "60s") as down:
        _, stderr = down.communicate(timeout=60)
    assert down.returncode == 0
    assert "did not end" not in stderr
    assert {status for status in seen if isinstance(status, int)} <= {200, 503}
    # Each request that reached the provider was answered. The last requests may have been refused.
    assert provider.received.total == seen[200]


@NATIVE
def test_down_waits_for_an_unread_answer(small: Stack, provider: LlmProvider) -> None:
    """The provider has sent the whole answer. Envoy still buffers a megabyte, more than the sockets hold."""
    size = 4000 << 10
    provider.next(Behaviour(raw="x" * size, content_type="application/json"))
    body = json.dumps(BODY)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n"
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", small.config["listeners"]["egress"]["port"]))
        client.sendall(f"{head}content-type: application/json\r\n\r\n{body}".encode())
        wait_for(provider.received.all)
        with archgw_down(small) as down:
            wait_for(lambda: draining(small))
            with pytest.raises(subprocess.TimeoutExpired):
                down.wait(6)
            answer = b"".join(iter(lambda: client.recv(1 << 20), b""))
            down.communicate(timeout=60)
    assert answer.endswith(b"x" * size)
    assert down.returncode == 0


def test_first_signal_in_the_foreground_drains(provider: LlmProvider, tmp_path: Path) -> None:
    """Service managers stop a gateway so."""
    config = tmp_path / "arch_config.yaml"
    values = egress_config(provider)
    config.write_text(yaml.safe_dump(values))
    stack = Stack(values, tmp_path, runtime=Runtime.NATIVE)
    command = [ARCHGW, "up", str(config), "--local", "-cpu", "--foreground", "--runtime", "native"]
    provider.next(WAITS_FOR_RELEASE)
    with subprocess.Popen([*command, "--run-dir", str(stack.run_dir)], stderr=subprocess.PIPE, text=True) as up:
        try:
            # An earlier signal would end the start and stop everything.
            wait_for(lambda: (state := load_state(run_layout(stack.run_dir))) is not None and state.ready)
            stream = Stream(stack)
            up.terminate()
            wait_for(lambda: draining(stack))
            provider.release()
            assert stream.end().endswith(DONE)
            assert up.wait(60) == 0
        finally:
            up.kill()
            stack.down()
    assert not stack.status()["running"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--grace", "soon"), "30s or 500ms"),
        (("--grace", "30"), "30s or 500ms"),
        (("--grace", "2h"), "out of bounds"),
        (("--now", "--grace", "5s"), "--now"),
    ],
)
def test_invalid_grace_period_is_refused(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    done = archgw("down", *options, "--run-dir", str(tmp_path))
    assert done.returncode == 2
    assert message in done.stderr

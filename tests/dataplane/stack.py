"""A whole gateway for tests: `archgw up` in its own run directory, on free ports, with mock servers around it."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import httpx2
import msgspec
import openai
import yaml

from controlplane.runtime.run_directory import run_layout
from controlplane.runtime.runner import Runtime
from controlplane.runtime.runner_selection import runner_of
from controlplane.runtime.status import status

ARCHGW: Final = str(Path(sys.executable).parent / "archgw")
CLIENT_KEY: Final = "sk-client-must-stay-inside"

T = TypeVar("T")

_UP_S: Final = 180
_PORTS: Final = (10_000, 32_000)
_RECOVERY_S: Final = 60
# Lines of the access log that are searched: enough for a test under load.
_ACCESS_LINES: Final = 5000


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now.

    They lie below the kernel's range for outgoing connections, so that none takes one before the test does; random, so
    that two test runs choose differently.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.randint(*_PORTS)  # noqa: S311
        if port not in chosen and _is_free(port):
            chosen.append(port)
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def archgw(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = _UP_S
) -> subprocess.CompletedProcess[str]:
    """Run the `archgw` command as a user does."""
    return subprocess.run(
        [ARCHGW, *arguments],
        env={**os.environ, **(env or {})},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@dataclass
class Stack:
    """A gateway. `mode`: the options of `archgw up` that decide where its models run.

    Tests see both runtimes alike, by the output of `archgw` and by process ids; only paths that the engine hides depend
    on `runtime`. Status is read in this process, since starting a command takes a second.
    """

    config: dict[str, Any]
    directory: Path
    env: Mapping[str, str] = field(default_factory=dict)
    mode: tuple[str, ...] = ("--local", "-cpu")
    runtime: Runtime = field(kw_only=True)

    @property
    def run_dir(self) -> Path:
        return self.directory / "run"

    @property
    def sockets(self) -> Path:
        """The folder of Envoy's unix sockets, as this machine sees it."""
        if self.runtime is Runtime.NATIVE:
            return self.run_dir / "sockets"
        (envoy,) = self.pids("envoy")
        return Path(f"/proc/{envoy}/root/run/archgw/sockets")

    @property
    def triton(self) -> Path:
        """The folder of Triton's unix sockets, as this machine sees it."""
        if self.runtime is Runtime.NATIVE:
            return self.run_dir / "triton"
        (triton,) = self.pids("triton")
        return Path(f"/proc/{triton}/root/run/archgw/triton")

    def url(self, listener: str) -> str:
        return f"http://127.0.0.1:{self.config['listeners'][listener]['port']}"

    def up(self) -> str:
        """Start it. Returns the standard error of the command."""
        done = self.try_up()
        if done.returncode:
            raise AssertionError(
                f"archgw up ended with {done.returncode}\n{done.stdout}\n{done.stderr}\n{self.tails()}"
            )
        return done.stderr

    def try_up(self, *options: str) -> subprocess.CompletedProcess[str]:
        self.directory.mkdir(parents=True, exist_ok=True)
        path = self.directory / "arch_config.yaml"
        path.write_text(yaml.safe_dump(self.config, sort_keys=False))
        where = ("--runtime", self.runtime, "--run-dir", str(self.run_dir))
        return archgw("up", str(path), *self.mode, *options, *where, env=self.env)

    def down(self) -> None:
        # Only containers have volumes.
        done = self.command("down", "--now", *(("--volumes",) if self.runtime is Runtime.DOCKER else ()))
        assert done.returncode == 0, done.stderr

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command on this gateway's run directory, as a user does."""
        return archgw(*arguments, "--run-dir", str(self.run_dir))

    def status(self) -> dict[str, Any]:
        """The content of `archgw status --json`."""
        document: dict[str, Any] = msgspec.to_builtins(status(run_layout(self.run_dir)))
        return document

    def pids(self, prefix: str) -> list[int]:
        """Process ids of the services whose names have this prefix."""
        return [each["pid"] for each in self.status()["parts"] if each["name"].startswith(prefix) and each["pid"]]

    def tails(self, lines: int = 8) -> str:
        """The last lines of every log."""
        return self.command("logs", "--lines", str(lines)).stdout

    def access(self, request_id: str) -> dict[str, Any]:
        """The access log entry of a client's request. Entries of calls made for it are skipped.

        Envoy writes its log in batches, so the entry may come a moment later.
        """

        def matching() -> list[dict[str, Any]]:
            log = runner_of(run_layout(self.run_dir)).last_lines("access", _ACCESS_LINES)
            lines = [json.loads(line) for line in log if request_id in line]
            return [line for line in lines if line["request_id"] == request_id and line["listener"] != "internal"]

        return wait_for(matching)[0]

    def not_ready(self) -> dict[str, str]:
        """Returns the parts that /healthz of ingress reports as not ready, each with its reason."""
        not_ready: dict[str, str] = httpx2.get(f"{self.url('ingress')}/healthz", timeout=5).json().get("not_ready", {})
        return not_ready

    def wait_healthy(self, *listeners: str) -> None:
        wait_for(lambda: all(_healthy(self.url(listener)) for listener in listeners or ("ingress", "egress")))

    @contextmanager
    def client(self, listener: str) -> Iterator[openai.OpenAI]:
        """The official SDK. Without retries, so that a test sees every failure."""
        with openai.OpenAI(
            base_url=f"{self.url(listener)}/v1", api_key=CLIENT_KEY, max_retries=0, timeout=60
        ) as client:
            yield client

    def post(self, listener: str, body: object, headers: Mapping[str, str] | None = None) -> httpx2.Response:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        url = f"{self.url(listener)}/v1/chat/completions"
        return httpx2.post(
            url, content=content, headers={"content-type": "application/json", **(headers or {})}, timeout=60
        )


def wait_for(condition: Callable[[], T | None], seconds: float = _RECOVERY_S) -> T:
    """Poll until `condition` returns a true value, and return it. Fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not true within {seconds} s"
        time.sleep(0.05)
    return value


def files_with(root: Path, secret: str) -> list[Path]:
    """The files below `root` that hold the secret."""
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    return [path for path in files if secret.encode() in path.read_bytes()]


def _healthy(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/healthz", timeout=5).status_code == 200
    except httpx2.TransportError:
        return False

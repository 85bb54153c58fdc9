"""A full disk: requests are answered, killed services restart, and `archgw status` reports missing log lines."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.egress_only import egress_only
from tests.dataplane.load import prompt
from tests.dataplane.stack import Stack, wait_for
from tests.support.llm_provider import LlmProvider

pytestmark = pytest.mark.runtime(Runtime.NATIVE, why="in containers, the engine writes the logs")

# A run directory needs less than half of it.
_DISK: Final = "2m"


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """Mount a small disk at `path`. Yields the path of the file that a test fills it with."""
    path.mkdir(parents=True, mode=0o700)
    options = f"size={_DISK},mode=0700"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    mounted = subprocess.run(mount, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"cannot mount a tmpfs: {mounted.stderr.decode().strip()}")
    try:
        yield path / "fill"
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)  # noqa: S607


def fill(path: Path) -> None:
    """Take every free block. Call it again for blocks that came free since."""
    with path.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(b"\0" * 512)


def log_losses(stack: Stack) -> dict[str, dict[str, Any]]:
    """The logs with missing lines, from `archgw status --json`, by name."""
    return {log["name"]: log for log in stack.status()["logs"]}


def wait_restarted(stack: Stack, service: str, pid: int) -> None:
    wait_for(lambda: stack.pids(service) not in ([], [pid]))


# A full disk below the whole run directory includes one below its logs.
@pytest.mark.parametrize("folder", ["run", pytest.param("run/logs", marks=pytest.mark.matrix)])
def test_full_disk_loses_log_lines_only(runtime: Runtime, provider: LlmProvider, tmp_path: Path, folder: str) -> None:
    with small_disk(tmp_path / folder) as filler, egress_only(provider, tmp_path, runtime) as stack:
        access = stack.run_dir / "logs" / "access.log"
        fill(filler)
        wait_for(lambda: stack.post("egress", prompt()).status_code == 200 and "access.log" in log_losses(stack))
        for service in ("envoy", "extproc-0", "extproc-2"):
            (pid,) = stack.pids(service)
            os.kill(pid, signal.SIGKILL)
            wait_restarted(stack, service, pid)
            stack.wait_healthy("egress")
            assert stack.post("egress", prompt()).status_code == 200

        def reported() -> bool:
            # A block that a service gave back would take the next line.
            fill(filler)
            stack.post("egress", prompt())
            printed = stack.command("status")
            return printed.returncode == 0 and "disk full: " in printed.stdout

        wait_for(reported)
        filler.unlink()
        answer = stack.post("egress", prompt())
        assert stack.access(answer.headers["x-request-id"])["status"] == 200
        assert log_losses(stack)["access.log"]["dropped"] > 0
        # No partly written line is left.
        lines = [json.loads(line) for line in access.read_text().splitlines()]
        assert len(lines) + log_losses(stack)["access.log"]["dropped"] >= len(provider.received.all())
        assert log_losses(stack)["access.log"]["reason"] == ""


def test_status_reports_a_killed_supervisor(runtime: Runtime, provider: LlmProvider, tmp_path: Path) -> None:
    with egress_only(provider, tmp_path, runtime) as stack:
        parts = [part["pid"] for part in stack.status()["parts"]]
        supervisor = int(Path(f"/proc/{parts[0]}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(supervisor, signal.SIGKILL)
        wait_for(lambda: not stack.status()["running"])
        assert httpx2.get(f"{stack.url('egress')}/healthz").status_code == 200
        assert sorted(stack.status()["unsupervised"]) == sorted(parts)
        result = stack.command("status")
        assert result.returncode == 1
        assert "nothing restarts them" in result.stdout

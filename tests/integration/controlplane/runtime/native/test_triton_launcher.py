"""Cleaning up after a killed Triton before the next start."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory
from controlplane.runtime.native import environment_variables, gateway_processes

# A process that starts another one in a new session and prints its id.
PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.fixture
def layout(tmp_path: Path) -> RunLayout:
    layout = RunLayout(tmp_path / "run")
    run_directory.create(layout)
    return layout


@contextmanager
def service(layout: RunLayout, name: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start the process; return it and the id of its child."""
    env = environment_variables.service_environment(os.environ, str(layout.root)) | {
        environment_variables.SERVICE_MARK: name
    }
    with subprocess.Popen([sys.executable, "-c", PARENT], env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process, int(process.stdout.readline())
        finally:
            process.kill()
            gateway_processes.kill_service(layout.root, name, 5)


def launch(layout: RunLayout, *command: str) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-P", "-m", "controlplane.runtime.native.triton_launcher", str(layout.root)]
    env = environment_variables.service_environment(os.environ, str(layout.root)) | {
        environment_variables.SERVICE_MARK: "triton"
    }
    return subprocess.run([*launcher, *command], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_executes_the_server_with_its_arguments_and_environment(layout: RunLayout) -> None:
    result = launch(
        layout, sys.executable, "-c", "import os, sys; print(sys.argv[1:], os.environ['ARCHGW_PART'])", "a b"
    )
    assert (result.stdout, result.stderr) == ("['a b'] triton\n", "")


def test_kills_orphans_of_triton_but_no_other_service(layout: RunLayout) -> None:
    with service(layout, "triton") as (triton, orphan), service(layout, "extproc-0") as (worker, its):
        triton.kill()
        triton.wait()
        assert orphan in gateway_processes.find(layout.root)
        assert launch(layout, "/bin/true").returncode == 0
        assert set(gateway_processes.find(layout.root)) == {worker.pid, its}


def test_keeps_the_triton_of_another_run_directory(layout: RunLayout, tmp_path: Path) -> None:
    with service(RunLayout(tmp_path / "other"), "triton") as (triton, _):
        launch(layout, "/bin/true")
        assert triton.poll() is None


def test_kills_a_frozen_orphan(layout: RunLayout) -> None:
    with service(layout, "triton") as (triton, orphan):
        os.kill(orphan, signal.SIGSTOP)
        triton.kill()
        triton.wait()
        launch(layout, "/bin/true")
        assert gateway_processes.find(layout.root) == ()


def test_removes_sockets_and_shared_memory_of_a_killed_triton(layout: RunLayout) -> None:
    shared = Path("/dev/shm") / f"{layout.shared_memory_prefix}left"  # noqa: S108
    others = Path("/dev/shm") / "archgw-of-somebody-else"  # noqa: S108
    try:
        for file in (shared, others):
            file.touch()
        for path in (layout.triton_http, layout.triton_grpc):
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(path))
        assert launch(layout, "/bin/true").returncode == 0
        assert list(layout.triton_sockets.iterdir()) == []
        assert not shared.exists()
        assert others.exists()
    finally:
        for file in (shared, others):
            file.unlink(missing_ok=True)

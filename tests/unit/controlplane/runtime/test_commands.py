"""The commands' outcomes that need no gateway."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ARCHGW = str(Path(sys.executable).with_name("archgw"))
EGRESS_ONLY = """\
version: v1
listeners:
  ingress: {{port: {ingress}}}
  egress: {{port: {egress}}}
llm_providers:
- {{name: m, provider: openai, model: m, access_key: $TEST_KEY, default: true}}
"""


def archgw(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TEST_KEY": "sk-test-secret"}
    return subprocess.run(
        [ARCHGW, *arguments], capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )


@pytest.mark.parametrize("arguments", [(), ("--local",), ("-cpu",)])
def test_other_modes_say_that_they_come_later_and_name_the_one_that_works(arguments: tuple[str, ...]) -> None:
    done = archgw("up", *arguments)
    assert done.returncode == 2
    assert "later release" in done.stderr
    assert "--local -cpu" in done.stderr


def test_a_run_directory_that_is_too_long_is_wrong_usage() -> None:
    done = archgw("up", "--local", "-cpu", "--run-dir", "/tmp/" + "x" * 100)  # noqa: S108
    assert done.returncode == 2
    assert "--run-dir" in done.stderr


def test_down_and_status_and_logs_where_nothing_runs(tmp_path: Path) -> None:
    where = ("--run-dir", tempfile.gettempdir() + "/archgw-none")
    assert archgw("down", *where).returncode == 0
    assert archgw("status", *where).returncode == 1
    assert '"running": false' in archgw("status", "--json", *where).stdout
    assert archgw("logs", *where).returncode == 1


def test_a_taken_port_ends_up_before_anything_is_started() -> None:
    with tempfile.TemporaryDirectory(prefix="ag-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        config = Path(folder) / "arch_config.yaml"
        port = server.getsockname()[1]
        config.write_text(EGRESS_ONLY.format(ingress=port, egress=port - 1))
        done = archgw("up", str(config), "--local", "--cpu", "--run-dir", f"{folder}/run")
        assert done.returncode == 1
        assert f"port {port} (listeners.ingress.port) is taken" in done.stderr
        assert [path.name for path in (Path(folder) / "run").iterdir()] == ["lock"]


def test_render_writes_keys_into_closed_files_only(tmp_path: Path) -> None:
    config = tmp_path / "arch_config.yaml"
    config.write_text(EGRESS_ONLY.format(ingress=10000, egress=12000))
    done = archgw("render", str(config), "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    holders = [
        path
        for path in (tmp_path / "out").rglob("*")
        if path.is_file() and "sk-test-secret" in path.read_text(errors="replace")
    ]
    assert [path.parent.name for path in holders] == ["secrets"]
    assert [path.stat().st_mode & 0o777 for path in holders] == [0o600]
    assert "sk-test-secret" not in done.stdout + done.stderr

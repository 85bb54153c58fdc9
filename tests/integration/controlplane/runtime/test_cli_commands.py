"""Commands of `archgw` that need no running gateway."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import yaml

ARCHGW = str(Path(sys.executable).with_name("archgw"))
EGRESS_ONLY = """\
version: v1
listeners:
  ingress: {{port: {ingress}}}
  egress: {{port: {egress}}}
llm_providers:
- {{name: m, provider: openai, model: m, access_key: $TEST_KEY, default: true}}
"""
# Ports that no test of this file uses.
WITH_MODELS = (
    EGRESS_ONLY.format(ingress=10000, egress=12000)
    + """\
prompt_guards:
  input_guards:
    jailbreak: {}
"""
)


def written(folder: Path) -> tuple[str, ...]:
    """Write a configuration and return its path for the command line."""
    config = folder / "arch_config.yaml"
    config.write_text(WITH_MODELS)
    return (str(config),)


def where(command: str, folder: Path) -> tuple[str, ...]:
    options = ("--runtime", "native", "--run-dir") if command == "up" else ("--output",)
    return (*options, str(folder / "made"))


def archgw(*arguments: str, timeout: float = 60, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TEST_KEY": "sk-test-secret"} | variables
    return subprocess.run(
        [ARCHGW, *arguments], capture_output=True, text=True, timeout=timeout, check=False, env=environment
    )


@pytest.mark.parametrize("command", [("up",), ("render", "-o", "/nonexistent/out")])
def test_cpu_without_local_is_a_usage_error(command: tuple[str, ...]) -> None:
    done = archgw(*command, "-cpu")
    assert done.returncode == 2
    assert "--local -cpu" in done.stderr


@pytest.mark.parametrize("command", ["up", "render"])
def test_missing_remote_url_names_the_key_and_the_alternative(command: str, short_path: Path) -> None:
    done = archgw(command, *written(short_path), *where(command, short_path))
    assert done.returncode == 2
    for part in ("model_serving.remote.url", "grpcs://", "archgw up --local -cpu"):
        assert part in done.stderr
    assert [path.name for path in short_path.iterdir()] == ["arch_config.yaml"]


@pytest.mark.parametrize("command", ["up", "render"])
def test_local_without_a_gpu_fails_with_the_reason(command: str, short_path: Path) -> None:
    # Hides the GPUs of the machine.
    done = archgw(command, *written(short_path), "--local", *where(command, short_path), CUDA_VISIBLE_DEVICES="")
    assert done.returncode == 1
    assert "NVML" in done.stderr
    assert "archgw up --local -cpu" in done.stderr
    assert [path.name for path in short_path.iterdir()] == ["arch_config.yaml"]


def test_too_long_run_directory_is_a_usage_error() -> None:
    done = archgw("up", "--local", "-cpu", "--run-dir", "/tmp/" + "x" * 100)  # noqa: S108
    assert done.returncode == 2
    assert "--run-dir" in done.stderr


def test_down_status_and_logs_without_a_gateway(tmp_path: Path) -> None:
    where = ("--run-dir", tempfile.gettempdir() + "/archgw-none")
    assert archgw("down", *where).returncode == 0
    assert archgw("status", *where).returncode == 1
    assert '"running": false' in archgw("status", "--json", *where).stdout
    assert archgw("logs", *where).returncode == 1


def test_taken_port_fails_before_anything_starts() -> None:
    with tempfile.TemporaryDirectory(prefix="ag-") as folder, socket.create_server(("127.0.0.1", 0)) as server:
        config = Path(folder) / "arch_config.yaml"
        port = server.getsockname()[1]
        config.write_text(EGRESS_ONLY.format(ingress=port, egress=port - 1))
        done = archgw("up", str(config), "--local", "--cpu", "--runtime", "native", "--run-dir", f"{folder}/run")
        assert done.returncode == 1
        assert f"port {port} (listeners.ingress.port) is taken" in done.stderr
        assert [path.name for path in (Path(folder) / "run").iterdir()] == ["lock"]


def test_render_writes_keys_only_into_private_files(short_path: Path) -> None:
    config = short_path / "arch_config.yaml"
    config.write_text(EGRESS_ONLY.format(ingress=10000, egress=12000))
    done = archgw("render", str(config), "--local", "-cpu", "-o", str(short_path / "out"))
    assert done.returncode == 0, done.stderr
    holders = [
        path
        for path in (short_path / "out").rglob("*")
        if path.is_file() and "sk-test-secret" in path.read_text(errors="replace")
    ]
    assert [path.parent.name for path in holders] == ["secrets"]
    assert [path.stat().st_mode & 0o777 for path in holders] == [0o600]
    assert "sk-test-secret" not in done.stdout + done.stderr


@pytest.fixture
def egress_only(tmp_path: Path) -> Path:
    config = tmp_path / "arch_config.yaml"
    config.write_text(EGRESS_ONLY.format(ingress=10000, egress=12000))
    return config


def test_render_for_containers_keeps_keys_private(egress_only: Path) -> None:
    out = egress_only.parent / "out"
    done = archgw("render", str(egress_only), "--local", "-cpu", "--runtime", "docker", "-o", str(out))
    assert done.returncode == 0, done.stderr
    written = yaml.safe_load((out / "compose.yaml").read_text())
    uid, gid = written["services"]["envoy"]["user"].split(":")
    assert written["name"].startswith("archgw-")
    assert out.stat().st_mode & 0o777 == 0o700
    for path in ("secrets/provider_m.yaml", "envoy/cds.yaml", "filter.json", "tls/ca.crt"):
        found = (out / path).stat()
        assert (found.st_uid, found.st_gid) == (int(uid), int(gid)), path
    assert (out / "secrets/provider_m.yaml").stat().st_mode & 0o777 == 0o600
    assert "/run/archgw/secrets/provider_m.yaml" in (out / "envoy/cds.yaml").read_text()


def test_render_for_containers_explains_localhost(egress_only: Path) -> None:
    config = egress_only.read_text().replace("default: true", 'default: true, base_url: "http://localhost:9/v1"')
    egress_only.write_text(config)
    where = ("-o", str(egress_only.parent / "out"))
    done = archgw("render", str(egress_only), "--local", "-cpu", "--runtime", "docker", *where)
    assert "llm_providers.m.base_url localhost:9" in done.stderr
    assert "0.0.0.0" in done.stderr  # noqa: S104
    assert "localhost" not in archgw("render", str(egress_only), "--local", "-cpu", *where).stderr


def test_second_render_removes_only_its_own_stale_files(egress_only: Path) -> None:
    out = egress_only.parent / "out"
    theirs = out / "models" / "mine.txt"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("mine")
    arguments = ("render", str(egress_only), "--local", "-cpu", "--runtime", "docker", "-o", str(out))
    assert archgw(*arguments).returncode == 0
    assert theirs.exists()
    egress_only.write_text(egress_only.read_text().replace("name: m,", "name: other,"))
    assert archgw(*arguments).returncode == 0
    assert [path.name for path in (out / "secrets").iterdir()] == ["provider_other.yaml"]


def test_render_inside_writes_no_compose_file(egress_only: Path) -> None:
    out = egress_only.parent / "out"
    done = archgw("render", str(egress_only), "--local", "-cpu", "--inside", "--workers", "3", "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert not (out / "compose.yaml").exists()
    clusters = (out / "envoy" / "cds.yaml").read_text()
    # Three workers and the one for large bodies, each in both clusters.
    assert clusters.count("/run/archgw/sockets/extproc-") == 2 * 4
    assert (out / "secrets" / "provider_m.yaml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ((), "-o DIR"),
        (("-o", "out", "--workers", "2"), "--workers"),
        (("-o", "out", "--images", "ghcr.io/acme"), "--images"),
        (("-o", "out", "--inside", "--workers", "2"), "overrides.filter_workers"),
    ],
)
def test_render_rejects_options_without_effect(options: tuple[str, ...], part: str, egress_only: Path) -> None:
    egress_only.write_text(egress_only.read_text() + "overrides: {filter_workers: 1}\n")
    done = archgw("render", str(egress_only), "--local", "-cpu", *options)
    assert done.returncode == 2
    assert part in done.stderr
    assert not Path("out").exists()

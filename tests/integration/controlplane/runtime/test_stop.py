"""Stopping without a run directory, without an engine, or without Docker."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.errors import RuntimeFault
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory
from controlplane.runtime.docker.runner import DockerRunner
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.stop import stop


@pytest.fixture
def key(layout: RunLayout) -> Path:
    found = layout.secrets / "provider.yaml"
    found.write_text("a key")
    return found


@pytest.mark.parametrize("volumes", [False, True])
def test_stop_removes_keys_without_docker(
    layout: RunLayout, key: Path, monkeypatch: pytest.MonkeyPatch, volumes: bool
) -> None:
    monkeypatch.setenv("PATH", str(layout.root))
    assert not stop(layout, volumes=volumes)
    assert not key.exists()


@pytest.fixture
def no_engine(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `docker` without an engine."""
    docker = layout.root / "docker"
    docker.write_text("#!/bin/sh\necho Cannot connect to the Docker daemon >&2; exit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{layout.root}:/usr/bin:/bin")


@pytest.mark.usefixtures("no_engine")
def test_reports_volumes_that_no_engine_can_remove(layout: RunLayout, key: Path) -> None:
    with pytest.raises(RuntimeFault, match="no Docker engine answers"):
        stop(layout, volumes=True)
    assert not key.exists()
    assert not stop(layout)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("alive", [False, True], ids=["crashed", "running"])
def test_native_gateway_needs_no_engine(layout: RunLayout, monkeypatch: pytest.MonkeyPatch, alive: bool) -> None:
    monkeypatch.setattr(NativeRunner, "stop", lambda _, volumes: alive)
    if not alive:
        layout.supervisor_plan.write_text("{}")
    assert stop(layout, volumes=True) is alive


def test_stops_containers_of_a_deleted_run_directory(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed_volumes: list[bool] = []

    def found(_: DockerRunner, *, volumes: bool) -> bool:
        removed_volumes.append(volumes)
        return True

    monkeypatch.setattr(DockerRunner, "stop", found)
    assert stop(run_directory.run_layout(short_path / "gone"))
    assert removed_volumes == [False]

"""Stopping what is half there: no run directory, no engine, or no Docker at all."""

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
def test_without_docker_no_key_stays_and_nothing_is_amiss(
    layout: RunLayout, key: Path, monkeypatch: pytest.MonkeyPatch, volumes: bool
) -> None:
    monkeypatch.setenv("PATH", str(layout.root))
    assert not stop(layout, volumes=volumes)
    assert not key.exists()


@pytest.fixture
def no_engine(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `docker` whose engine does not run."""
    docker = layout.root / "docker"
    docker.write_text("#!/bin/sh\necho Cannot connect to the Docker daemon >&2; exit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{layout.root}:/usr/bin:/bin")


@pytest.mark.usefixtures("no_engine")
def test_volumes_that_no_engine_can_remove_are_told_and_no_key_stays(layout: RunLayout, key: Path) -> None:
    with pytest.raises(RuntimeFault, match="no Docker engine answers"):
        stop(layout, volumes=True)
    assert not key.exists()
    assert not stop(layout)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("alive", [False, True], ids=["crashed", "running"])
def test_a_native_gateway_has_no_volumes_and_needs_no_engine(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch, alive: bool
) -> None:
    monkeypatch.setattr(NativeRunner, "stop", lambda _, volumes: alive)
    if not alive:
        layout.supervisor_plan.write_text("{}")
    assert stop(layout, volumes=True) is alive


def test_containers_whose_run_directory_is_gone_are_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def found(_: DockerRunner, *, volumes: bool) -> bool:
        asked.append(volumes)
        return True

    monkeypatch.setattr(DockerRunner, "stop", found)
    assert stop(run_directory.run_layout(tmp_path / "gone"))
    assert asked == [False]

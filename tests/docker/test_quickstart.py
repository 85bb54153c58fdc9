"""`archgw up --quick-start --runtime docker`, as the README says: from any directory, nothing prepared."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.stack import archgw
from tests.docker.project import Project

pytestmark = pytest.mark.runtime(Runtime.DOCKER, why="the native one is `make up`")


@pytest.fixture
def run_dir(runtime: Runtime, tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "run"
    archgw("down", "--volumes", "--run-dir", str(tmp_path / "run"))


def test_quick_start_answers_its_prompts_and_keeps_the_models(
    run_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    where = ("--run-dir", str(run_dir))
    began = time.monotonic()
    up = archgw(
        *("up", "--quick-start", "--local", "-cpu", "--runtime", "docker"), *where, cwd=tmp_path_factory.mktemp("any")
    )
    print(f"up and three prompts: {time.monotonic() - began:.1f} s\n{up.stdout}")
    assert up.returncode == 0, up.stderr
    assert "called get_current_weather(" in up.stdout
    assert "no prompt target matches; answer by LLM provider local" in up.stdout
    assert "blocked: jailbreak" in up.stdout
    assert "error after" not in up.stdout

    project = Project(run_dir)
    assert "weather-api" in project.containers()
    assert archgw("down", *where).returncode == 0
    assert (project.containers(), project.networks()) == ({}, [])
    assert [name.removeprefix(project.name) for name in project.volumes()] == ["_models"]
    assert archgw("down", "--volumes", *where).returncode == 0
    assert project.volumes() == []

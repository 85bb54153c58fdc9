"""`archgw up --runtime docker` fails with one screen that names the way out, exit code 1, and nothing left behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from controlplane import __version__
from controlplane.runtime.runner import Runtime
from tests.dataplane.stack import Stack
from tests.docker.engine import docker
from tests.docker.project import Project

pytestmark = pytest.mark.runtime(Runtime.DOCKER, why="errors of an engine")

_SCREEN = 24


def refused(stack: Stack, *options: str) -> str:
    """Run `up`, which must fail. Returns its error without the progress lines."""
    done = stack.try_up(*options)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    _, _, error = done.stderr.rpartition("archgw: ")
    assert 0 < len(error.splitlines()) <= _SCREEN
    print(done.stderr)
    return error


@pytest.fixture(autouse=True)
def _nothing_is_left(unstarted: Stack) -> Iterator[None]:
    yield
    project = Project(unstarted.run_dir)
    assert (project.containers(), project.networks(), project.volumes()) == ({}, [], [])
    assert not (unstarted.run_dir / "secrets").exists()


def test_taken_port_is_named_with_its_key(unstarted: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        unstarted.config["listeners"]["egress"]["port"] = port
        assert f"port {port} (listeners.egress.port) is taken" in refused(unstarted)


def test_missing_image_is_named(unstarted: Stack) -> None:
    error = refused(unstarted, "--images", "registry.invalid/x")
    assert "registry.invalid/x/archgw-extproc" in error


@pytest.fixture
def broken() -> Iterator[str]:
    """A registry folder whose filter image is a plain Python image."""
    name = f"archgw-tests/archgw-extproc:{__version__}"
    docker("tag", "python:3.11-slim-bookworm", name)
    yield "archgw-tests"
    docker("rmi", name)


def test_failed_container_is_shown_with_its_last_lines(unstarted: Stack, broken: str) -> None:
    error = refused(unstarted, "--images", broken)
    assert "extproc-" in error
    assert "No module named" in error


def test_missing_engine_is_named_with_the_native_way_out(unstarted: Stack) -> None:
    nowhere = replace(unstarted, env={**unstarted.env, "DOCKER_HOST": "unix:///nowhere/docker.sock"})
    error = refused(nowhere)
    assert "/nowhere/docker.sock" in error
    assert "--runtime native" in error


def test_missing_gpu_support_names_the_cpu_way_out(unstarted: Stack) -> None:
    if "nvidia" in docker("info", "--format", "{{json .Runtimes}}"):
        pytest.skip("this engine has the NVIDIA runtime")
    unstarted.config["prompt_guards"] = {"apply_to": ["egress"], "input_guards": {"jailbreak": {}}}
    error = refused(replace(unstarted, mode=("--local",)))
    assert "NVIDIA" in error
    assert "--local -cpu" in error

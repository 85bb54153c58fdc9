"""The Docker engine of the tests: a running one, else one that a tool beside the checkout starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# Installs an engine on a bare Debian machine, and builds stand-ins for the images that a user would pull.
_TOOL: Final = Path(__file__).resolve().parents[3] / "shared" / "tools" / "docker-engine"
_START_S: Final = 600
_ANSWER_S: Final = 60


class NoEngineError(Exception):
    """No engine for tests. The message says why."""


@contextmanager
def answering() -> Iterator[None]:
    """Provide an engine inside the block, and stop it at the end if it was started here. Raises `NoEngineError`."""
    if os.getuid() != 0:
        raise NoEngineError("tests in containers read the processes of containers, which needs root")
    version = try_docker("version")
    if version.returncode == 0:
        yield
        return
    # $DOCKER_HOST chooses an engine: none is started instead.
    if "DOCKER_HOST" in os.environ or not _TOOL.is_file():
        raise NoEngineError(f"no Docker engine answers: {version.stderr.strip()}")
    try:
        _tool("up")
        yield
    finally:
        _tool("down")


def try_docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a docker command."""
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", "the command docker is not installed")


def docker(*arguments: str) -> str:
    """Standard output of a docker command. Fails with its standard error."""
    done = try_docker(*arguments)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _tool(command: str) -> None:
    done = subprocess.run([_TOOL, command], capture_output=True, text=True, timeout=_START_S, check=False)
    if done.returncode:
        raise NoEngineError(f"{_TOOL.name} {command} failed: {done.stderr.strip()}")

"""The Docker engine that tests run against: one that answers, else one that a tool beside the checkout starts."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

# Gives a bare Debian machine an engine, and stand-ins for the images that a user would pull.
_TOOL: Final = Path(__file__).resolve().parents[3] / "shared" / "tools" / "docker-engine"
_START_S: Final = 600
_ANSWER_S: Final = 60


class NoEngineError(Exception):
    """There is no engine for tests; why not."""


@contextmanager
def answering() -> Iterator[None]:
    """An engine answers inside the block. It is stopped at the end if it was started here. Raises `NoEngineError`."""
    if os.getuid() != 0:
        raise NoEngineError("tests of containers look into their processes, which takes root")
    found = try_docker("version")
    if found.returncode == 0:
        yield
        return
    # Who says where the engine is means that one.
    if "DOCKER_HOST" in os.environ or not _TOOL.is_file():
        raise NoEngineError(f"no Docker engine answers: {found.stderr.strip()}")
    try:
        _tool("up")
        yield
    finally:
        _tool("down")


def try_docker(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of Docker's, however it ends."""
    command = ["docker", *arguments]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except FileNotFoundError:
        return subprocess.CompletedProcess(command, 127, "", "the command docker is not installed")


def docker(*arguments: str) -> str:
    """What a command of Docker's said on standard output. Fails with what it said on standard error."""
    done = try_docker(*arguments)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def _tool(command: str) -> None:
    done = subprocess.run([_TOOL, command], capture_output=True, text=True, timeout=_START_S, check=False)
    if done.returncode:
        raise NoEngineError(f"{_TOOL.name} {command} failed: {done.stderr.strip()}")

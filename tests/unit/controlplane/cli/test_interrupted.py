"""Commands that a signal interrupts: cleanup, message and exit code."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest
from typer.testing import CliRunner

from controlplane.cli import build, logs, up
from controlplane.cli.app import app
from controlplane.runtime.docker.build_context import Recipe
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.runner import ServiceState

SERVICES = (ServiceState("envoy", "RUNNING", 7, 11, ""),)


class Running:
    """The runner of a gateway; following its logs raises a signal and waits."""

    def __init__(
        self, number: signal.Signals = signal.SIGTERM, services: tuple[ServiceState, ...] | None = SERVICES
    ) -> None:
        self.number = number
        self.found = services
        self.closed = False

    def services(self) -> tuple[ServiceState, ...] | None:
        return self.found

    def logs(self, service: str | None) -> tuple[str, ...]:
        return ("envoy",)

    def last_lines(self, name: str, count: int) -> list[str]:
        return ["a line"]

    def follow(self, names: Sequence[str], show: Callable[[str, str], None]) -> None:
        try:
            os.kill(os.getpid(), self.number)
            signal.pause()
        finally:
            self.closed = True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_following_logs_closes_its_processes_on_each_signal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    runner = Running(number)
    monkeypatch.setattr(logs, "runner_of", lambda _: runner)
    done = CliRunner().invoke(app, ["logs", "--follow", "--run-dir", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (code, "a line\n")
    assert runner.closed


@pytest.mark.parametrize(
    ("services", "message"), [(SERVICES, "the gateway is still running"), (None, "everything is stopped")]
)
def test_interrupted_up_reports_whether_a_gateway_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: tuple[ServiceState, ...] | None, message: str
) -> None:
    def start(*_: object) -> NoReturn:
        os.kill(os.getpid(), signal.SIGINT)
        signal.pause()
        raise AssertionError

    monkeypatch.setattr(up, "start", start)
    monkeypatch.setattr(up, "runner_of", lambda _: Running(services=services))
    done = CliRunner().invoke(app, ["up", "--run-dir", str(tmp_path)])
    assert done.exit_code == 130
    assert f"SIGINT, {message}" in done.stderr


def test_build_stops_its_child_on_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[Recipe] = []

    def build_image(_: Engine, recipe: Recipe, *__: object, **___: object) -> None:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            signal.pause()
        finally:
            ended.append(recipe)

    monkeypatch.setattr(Engine, "find", lambda: Engine("docker", {}))
    monkeypatch.setattr(Engine, "check", lambda _: None)
    monkeypatch.setattr(build, "build_image", build_image)
    done = CliRunner().invoke(app, ["build"])
    assert done.exit_code == 143
    assert "SIGTERM, the build is stopped" in done.stderr
    assert len(ended) == 1

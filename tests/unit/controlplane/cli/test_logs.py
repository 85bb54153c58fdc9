"""`archgw logs`: the last lines of each log, in the order of their times, without health checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controlplane.cli import logs
from controlplane.cli.app import app


def request(second: int, decision: str = "forward") -> str:
    return f'{{"decision":"{decision}","time":"2026-01-01T00:00:{second:02}.000Z"}}'


def event(second: int) -> str:
    return f'{{"time":"2026-01-01T00:00:{second:02}.500+00:00","event":"x"}}'


LOGS = {
    "access": [*(request(second) for second in range(30)), *(request(30, "healthz") for _ in range(50))],
    "extproc-0": [event(second) for second in range(40)],
}


class Runner:
    """The runner of a gateway with these logs."""

    def logs(self, part: str | None) -> tuple[str, ...]:
        return tuple(name for name in LOGS if part is None or name.startswith(part))

    def last_lines(self, log: str, count: int) -> list[str]:
        return LOGS[log][len(LOGS[log]) - min(count, len(LOGS[log])) :]

    def follow(self, names: Sequence[str], show: Callable[[str, str], None]) -> None:
        for name in names:
            show(name, request(50, "healthz"))
            show(name, request(51))


@pytest.fixture(autouse=True)
def _runner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "runner_of", lambda _: Runner())


def shown(tmp_path: Path, *arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ["logs", *arguments, "--run-dir", str(tmp_path)])
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def test_shows_last_twenty_lines_of_each_log_without_health_checks(tmp_path: Path) -> None:
    expected = [(float(second), f"access: {request(second)}") for second in range(10, 30)]
    expected += [(second + 0.5, f"extproc-0: {event(second)}") for second in range(20, 40)]
    assert shown(tmp_path) == [line for _, line in sorted(expected)]


def test_lines_option_sets_the_number_of_lines(tmp_path: Path) -> None:
    assert shown(tmp_path, "access", "--lines", "2") == [request(28), request(29)]
    assert shown(tmp_path, "-n", "1") == [f"access: {request(29)}", f"extproc-0: {event(39)}"]
    assert shown(tmp_path, "--lines", "0") == []


def test_all_option_shows_health_checks(tmp_path: Path) -> None:
    assert shown(tmp_path, "access", "--all", "-n", "3") == [request(30, "healthz")] * 3


@pytest.mark.parametrize(
    ("arguments", "expected"), [((), [request(51)]), (("--all",), [request(50, "healthz"), request(51)])]
)
def test_followed_logs_omit_health_checks_without_all(
    tmp_path: Path, arguments: tuple[str, ...], expected: list[str]
) -> None:
    assert shown(tmp_path, "access", "--follow", "-n", "0", *arguments) == expected

"""A real supervisor with small services: starts, restarts, stops and logs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import msgspec
import pytest

from controlplane.compile.plans import RoleLocation
from controlplane.errors import RuntimeFault
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.gateway_state import PublicListener, State, load_state, save_state
from controlplane.runtime.native import environment_variables, gateway_processes
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.native.service import Service
from controlplane.runtime.native.supervisor import client
from controlplane.runtime.native.supervisor.plan import LogSizes
from controlplane.runtime.readiness import StartedGateway, wait_ready
from controlplane.runtime.runner import ServiceState
from controlplane.runtime.stop import stop
from extproc.shared.filter_config import Place

SIZES = LogSizes(max_bytes=1 << 20, files=2)
SLEEPER = "import time, sys; print('up', flush=True); print('err', file=sys.stderr, flush=True); time.sleep(600)"


def service(layout: RunLayout, name: str, script: str, **values: object) -> Service:
    clean = environment_variables.service_environment({"PATH": os.environ["PATH"]}, str(layout.root))
    log = layout.logs / f"{name}.log"
    return Service(name, (sys.executable, "-c", script), clean, log, order=1, stop_s=2, **values)  # type: ignore[arg-type]


def state(*services: Service) -> State:
    listener = PublicListener("ingress", "127.0.0.1", 1)
    names = tuple(each.name for each in services)
    return State(mode="m", config="c", since="s", listeners=(listener,), places=(), services=names)


def started(layout: RunLayout, supervisor: subprocess.Popen[bytes], *services: Service) -> StartedGateway:
    return StartedGateway(NativeRunner(layout), state(*services), partial(client.check, layout, supervisor))


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(layout: RunLayout) -> Iterator[Start]:
    """Starts services, and stops them after the test."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*services: Service, sizes: LogSizes = SIZES) -> subprocess.Popen[bytes]:
        client.write_plan(services, layout, sizes)
        started.append(client.start(layout, environment_variables.service_environment(os.environ, str(layout.root))))
        return started[-1]

    yield start
    gateway_processes.stop_all(layout.root, grace_s=5)
    for supervisor in started:
        supervisor.wait(5)


def events(layout: RunLayout) -> list[dict[str, Any]]:
    """Return the events of the supervisor's log."""
    lines = (layout.logs / "supervisor.log").read_text().splitlines()
    return [msgspec.json.decode(line) for line in lines]


def wait(layout: RunLayout, condition: Callable[[dict[str, ServiceState]], bool]) -> dict[str, ServiceState]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        states = {each.name: each for each in NativeRunner(layout).services() or ()}
        if states and condition(states):
            return states
        time.sleep(0.05)
    raise AssertionError((layout.logs / "supervisor.out").read_text() or "waited in vain")


def test_restarts_a_killed_service_and_stops_all(layout: RunLayout, start: Start) -> None:
    services = (
        service(layout, "a", SLEEPER),
        service(layout, "b", SLEEPER, stdout_log=layout.logs / "b.out", edge=True),
    )
    supervisor = start(*services)
    before = wait(layout, lambda states: all(each.running for each in states.values()))
    os.kill(before["a"].pid or 0, signal.SIGKILL)
    after = wait(layout, lambda states: states["a"].pid not in {None, before["a"].pid})
    assert after["b"].pid == before["b"].pid
    assert (layout.logs / "b.out").read_text() == "up\n"
    assert (layout.logs / "b.log").read_text() == "err\n"
    secret = layout.secrets / "key.yaml"
    secret.write_text("k")
    assert stop(layout)
    assert supervisor.wait(5) == 0
    assert not gateway_processes.find(layout.root)
    assert not secret.exists()
    assert NativeRunner(layout).services() is None
    assert not stop(layout)


def test_kills_children_of_an_ended_service(layout: RunLayout, start: Start) -> None:
    script = "import signal, subprocess, time; signal.signal(15, signal.SIG_IGN); subprocess.run(['sleep', '600'])"
    start(service(layout, "a", script))
    wait(layout, lambda states: states["a"].running)
    # The supervisor, the service and its child.
    assert len(gateway_processes.find(layout.root)) == 3
    stop(layout)
    assert not gateway_processes.find(layout.root)


def test_stops_orphans_of_a_killed_supervisor(layout: RunLayout, start: Start) -> None:
    supervisor = start(service(layout, "a", SLEEPER))
    wait(layout, lambda states: states["a"].running)
    supervisor.kill()
    supervisor.wait(5)
    assert NativeRunner(layout).services() is None
    assert len(gateway_processes.find(layout.root)) == 1
    assert stop(layout)
    assert not gateway_processes.find(layout.root)


def test_services_see_no_keys_or_other_shell_variables(
    layout: RunLayout, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    start(service(layout, "a", "import os, time; print(dict(os.environ), flush=True); time.sleep(600)"))
    wait(layout, lambda states: states["a"].running)
    assert "sk-secret" not in (layout.logs / "a.log").read_text()
    stop(layout)


def test_failing_service_is_named_with_its_last_lines(layout: RunLayout, start: Start) -> None:
    services = (service(layout, "good", SLEEPER), service(layout, "bad", "raise SystemExit('the reason')"))
    supervisor = start(*services)
    messages: list[str] = []
    with pytest.raises(RuntimeFault, match=r"bad does not start(?s:.*)the reason"):
        wait_ready(started(layout, supervisor, *services), 60, messages.append)


def test_deadline_ends_the_wait(layout: RunLayout, start: Start) -> None:
    services = (service(layout, "triton", SLEEPER), service(layout, "envoy", SLEEPER))
    supervisor = start(*services)
    begun = time.monotonic()
    with pytest.raises(RuntimeFault, match="not ready after 3 s"):
        wait_ready(started(layout, supervisor, *services), 3, lambda _: None)
    assert time.monotonic() - begun < 10


def test_reports_a_supervisor_that_cannot_start(layout: RunLayout) -> None:
    layout.supervisor_plan.write_text("{}")
    supervisor = client.start(layout, environment_variables.service_environment(os.environ, str(layout.root)))
    with pytest.raises(RuntimeFault, match="supervisor ended"):
        wait_ready(started(layout, supervisor), 20, lambda _: None)
    supervisor.wait(5)


@pytest.mark.parametrize("odd", ["100%(x)s", "'a' \"b\" \\", "c ;d #e", "f,g=h", "line\nbreak"])
def test_arguments_and_variables_reach_a_service_unchanged(layout: RunLayout, start: Start, odd: str) -> None:
    script = "import os, sys, time; print([*sys.argv[1:], os.environ['V']], flush=True); time.sleep(600)"
    clean = environment_variables.service_environment({}, str(layout.root)) | {"V": odd}
    log = layout.logs / f"a{odd}.log"
    start(Service("a", (sys.executable, "-c", script, odd), clean, log, 1, 2))
    wait(layout, lambda states: states["a"].running)
    assert log.read_text() == f"{[odd, odd]}\n"


def test_retries_a_service_until_it_starts(layout: RunLayout, start: Start) -> None:
    program = layout.root / "program"
    clean = environment_variables.service_environment(os.environ, str(layout.root))
    start(Service("a", (str(program),), clean, layout.logs / "a.log", 1, 2))
    states = wait(layout, lambda states: "No such file" in states["a"].fault)
    assert (states["a"].state, states["a"].pid) == ("BACKOFF", None)
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    wait(layout, lambda states: states["a"].running)


def test_stops_envoy_first_and_kills_what_does_not_end(layout: RunLayout, start: Start) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    supervisor = start(
        service(layout, "edge", deaf, edge=True), service(layout, "a", SLEEPER), service(layout, "b", SLEEPER)
    )
    wait(layout, lambda states: all(each.running for each in states.values()))
    assert client.shut_down(layout)
    assert supervisor.wait(10) == 0
    ended = [event["part"] for event in events(layout) if event["event"] == "part.ended"]
    assert ended[0] == "edge"
    assert sorted(ended[1:]) == ["a", "b"]
    assert [event["part"] for event in events(layout) if event["event"] == "part.killed"] == ["edge"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_to_the_supervisor_stops_all_services(layout: RunLayout, start: Start, number: signal.Signals) -> None:
    supervisor = start(service(layout, "a", SLEEPER))
    wait(layout, lambda states: states["a"].running)
    supervisor.send_signal(number)
    assert supervisor.wait(10) == 0
    assert not gateway_processes.find(layout.root)


def test_children_end_with_their_service(layout: RunLayout, start: Start) -> None:
    start(service(layout, "a", "import subprocess, time; subprocess.Popen(['sleep', '599']); time.sleep(600)"))
    before = wait(layout, lambda states: states["a"].running)
    os.kill(before["a"].pid or 0, signal.SIGKILL)
    wait(layout, lambda states: states["a"].running and states["a"].pid != before["a"].pid)
    # The supervisor, the service and its child. The child of the previous process has ended.
    assert len(gateway_processes.find(layout.root)) == 3


def test_full_disk_loses_only_log_lines(layout: RunLayout, start: Start) -> None:
    """Writes to /dev/full fail as on a full disk."""
    full = layout.logs / "a.log"
    full.symlink_to("/dev/full")
    (layout.logs / "supervisor.log").symlink_to("/dev/full")
    # More than a pipe holds: without a reader, the service would block before its last line.
    script = """
import sys, time
for _ in range(2000): print('x' * 1000, flush=True)
print('y', file=sys.stderr, flush=True)
time.sleep(600)
"""
    start(replace(service(layout, "a", script), log=layout.logs / "err.log", stdout_log=full))
    before = wait(layout, lambda states: states["a"].running)
    os.kill(before["a"].pid or 0, signal.SIGKILL)
    wait(layout, lambda states: states["a"].running and states["a"].pid != before["a"].pid)
    assert (layout.logs / "err.log").read_text() == "y\n" * 2
    dropped = {log.name: log for log in NativeRunner(layout).dropped_lines()}
    assert dropped["a.log"].dropped == 4000
    assert dropped["a.log"].reason == "disk full"
    assert dropped["supervisor.log"].dropped >= 3
    assert "err.log" not in dropped


def test_hanging_disk_blocks_nothing(layout: RunLayout, start: Start) -> None:
    """The log is a pipe without a reader, so that opening it blocks."""
    os.mkfifo(layout.logs / "hangs.log")
    script = """
import sys, time
for _ in range(8000): print('x' * 1000, flush=True)
open(sys.argv[1], 'w')
time.sleep(600)
"""
    done = layout.root / "done"
    hanging = replace(service(layout, "hangs", script), argv=(sys.executable, "-c", script, str(done)))
    supervisor = start(hanging)
    wait(layout, lambda _: done.exists())
    (fault,) = NativeRunner(layout).dropped_lines()
    assert (fault.name, fault.reason) == ("hangs.log", "the disk is too slow")
    assert client.shut_down(layout)
    assert supervisor.wait(20) == 0


def test_log_resumes_and_reports_lost_lines(layout: RunLayout, start: Start) -> None:
    log = layout.logs / "a.log"
    log.symlink_to("/dev/full")
    script = "import time\nfor i in range(600): print(i, flush=True); time.sleep(0.05)"
    start(service(layout, "a", script))
    wait(layout, lambda _: any(each.dropped for each in NativeRunner(layout).dropped_lines()))
    log.unlink()
    wait(layout, lambda _: log.exists() and log.read_text().count("\n") > 2)
    (fault,) = NativeRunner(layout).dropped_lines()
    assert fault.reason == ""
    # The first line gives the number of lost ones.
    assert log.read_text().split("\n")[0] == str(fault.dropped)
    (resumed,) = [event for event in events(layout) if event["event"] == "log.resumed"]
    assert (resumed["log"], int(resumed["dropped"])) == ("a.log", fault.dropped)


def test_rotates_logs_by_size_without_losing_lines(layout: RunLayout, start: Start) -> None:
    (layout.logs / "a.log.9").write_text("of a time when more were kept\n")
    script = "import time\nfor i in range(5000): print(f'{i:099}', flush=True)\ntime.sleep(600)"
    start(service(layout, "a", script), sizes=LogSizes(max_bytes=100_000, files=8))
    wait(layout, lambda states: states["a"].running)
    files = [layout.logs / f"a.log.{number}" for number in range(8, 0, -1)] + [layout.logs / "a.log"]
    there = [path for path in files if path.exists()]
    assert len(there) >= 5
    assert all(path.stat().st_size <= 100_000 for path in there)
    assert [int(line) for path in there for line in path.read_text().split()] == list(range(5000))
    assert not (layout.logs / "a.log.9").exists()


def test_reads_the_saved_state_and_ignores_invalid_ones(layout: RunLayout) -> None:
    places = (RoleLocation("guard", Place.REMOTE, "guard", "grpcs://triton.example.com:443"),)
    saved = msgspec.structs.replace(state(), places=places)
    save_state(layout, saved)
    assert load_state(layout) == saved
    layout.state.write_text("{")
    assert load_state(layout) is None

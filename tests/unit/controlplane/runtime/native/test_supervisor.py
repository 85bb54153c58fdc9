"""A real supervisor with stand-in parts: what it starts, restarts and stops, and what becomes of their logs."""

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
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import environment, processes
from controlplane.runtime.native.part import Part
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.native.supervisor import client
from controlplane.runtime.native.supervisor.plan import LogSizes
from controlplane.runtime.readiness import Started, wait_ready
from controlplane.runtime.runner import PartState
from controlplane.runtime.state import Door, State, load, save
from controlplane.runtime.stop import stop
from extproc.shared.filter_config import Place

SIZES = LogSizes(max_bytes=1 << 20, files=2)
SLEEPER = "import time, sys; print('up', flush=True); print('err', file=sys.stderr, flush=True); time.sleep(600)"


def part(layout: RunLayout, name: str, script: str, **values: object) -> Part:
    clean = environment.clean({"PATH": os.environ["PATH"]}, str(layout.root))
    log = layout.logs / f"{name}.log"
    return Part(name, (sys.executable, "-c", script), clean, log, order=1, stop_s=2, **values)  # type: ignore[arg-type]


def state(*parts: Part) -> State:
    door = Door("ingress", "127.0.0.1", 1)
    names = tuple(each.name for each in parts)
    return State(mode="m", config="c", since="s", doors=(door,), places=(), parts=names)


def started(layout: RunLayout, supervisor: subprocess.Popen[bytes], *parts: Part) -> Started:
    return Started(NativeRunner(layout), state(*parts), partial(client.check, layout, supervisor))


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(layout: RunLayout) -> Iterator[Start]:
    """Starts parts; whatever the test leaves is stopped, and waited for."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*parts: Part, sizes: LogSizes = SIZES) -> subprocess.Popen[bytes]:
        client.write_plan(parts, layout, sizes)
        started.append(client.start(layout, environment.clean(os.environ, str(layout.root))))
        return started[-1]

    yield start
    processes.stop_all(layout.root, grace_s=5)
    for supervisor in started:
        supervisor.wait(5)


def events(layout: RunLayout) -> list[dict[str, Any]]:
    """What the supervisor says that it did."""
    lines = (layout.logs / "supervisor.log").read_text().splitlines()
    return [msgspec.json.decode(line) for line in lines]


def wait(layout: RunLayout, condition: Callable[[dict[str, PartState]], bool]) -> dict[str, PartState]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        states = {each.name: each for each in NativeRunner(layout).parts() or ()}
        if states and condition(states):
            return states
        time.sleep(0.05)
    raise AssertionError((layout.logs / "supervisor.out").read_text() or "waited in vain")


def test_a_killed_part_is_started_again_and_everything_ends_with_stop(layout: RunLayout, start: Start) -> None:
    parts = (part(layout, "a", SLEEPER), part(layout, "b", SLEEPER, stdout_log=layout.logs / "b.out", edge=True))
    supervisor = start(*parts)
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
    assert not processes.of_run(layout.root)
    assert not secret.exists()
    assert NativeRunner(layout).parts() is None
    assert not stop(layout)


def test_children_of_a_part_do_not_outlive_it(layout: RunLayout, start: Start) -> None:
    script = "import signal, subprocess, time; signal.signal(15, signal.SIG_IGN); subprocess.run(['sleep', '600'])"
    start(part(layout, "a", script))
    wait(layout, lambda states: states["a"].running)
    # The supervisor, the part and its child.
    assert len(processes.of_run(layout.root)) == 3
    stop(layout)
    assert not processes.of_run(layout.root)


def test_orphans_of_a_killed_supervisor_are_found_and_stopped(layout: RunLayout, start: Start) -> None:
    supervisor = start(part(layout, "a", SLEEPER))
    wait(layout, lambda states: states["a"].running)
    supervisor.kill()
    supervisor.wait(5)
    assert NativeRunner(layout).parts() is None
    assert len(processes.of_run(layout.root)) == 1
    assert stop(layout)
    assert not processes.of_run(layout.root)


def test_parts_see_neither_keys_nor_other_variables_of_the_shell(
    layout: RunLayout, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    start(part(layout, "a", "import os, time; print(dict(os.environ), flush=True); time.sleep(600)"))
    wait(layout, lambda states: states["a"].running)
    assert "sk-secret" not in (layout.logs / "a.log").read_text()
    stop(layout)


def test_a_part_that_does_not_start_is_named_with_its_last_lines(layout: RunLayout, start: Start) -> None:
    parts = (part(layout, "good", SLEEPER), part(layout, "bad", "raise SystemExit('the reason')"))
    supervisor = start(*parts)
    said: list[str] = []
    with pytest.raises(RuntimeFault, match=r"bad does not start(?s:.*)the reason"):
        wait_ready(started(layout, supervisor, *parts), 60, said.append)


def test_the_deadline_ends_the_wait(layout: RunLayout, start: Start) -> None:
    parts = (part(layout, "triton", SLEEPER), part(layout, "envoy", SLEEPER))
    supervisor = start(*parts)
    begun = time.monotonic()
    with pytest.raises(RuntimeFault, match="not ready after 3 s"):
        wait_ready(started(layout, supervisor, *parts), 3, lambda _: None)
    assert time.monotonic() - begun < 10


def test_a_supervisor_that_cannot_start_is_reported(layout: RunLayout) -> None:
    layout.supervisor_plan.write_text("{}")
    supervisor = client.start(layout, environment.clean(os.environ, str(layout.root)))
    with pytest.raises(RuntimeFault, match="supervisor ended"):
        wait_ready(started(layout, supervisor), 20, lambda _: None)
    supervisor.wait(5)


@pytest.mark.parametrize("odd", ["100%(x)s", "'a' \"b\" \\", "c ;d #e", "f,g=h", "line\nbreak"])
def test_values_reach_a_part_as_they_are(layout: RunLayout, start: Start, odd: str) -> None:
    script = "import os, sys, time; print([*sys.argv[1:], os.environ['V']], flush=True); time.sleep(600)"
    clean = environment.clean({}, str(layout.root)) | {"V": odd}
    log = layout.logs / f"a{odd}.log"
    start(Part("a", (sys.executable, "-c", script, odd), clean, log, 1, 2))
    wait(layout, lambda states: states["a"].running)
    assert log.read_text() == f"{[odd, odd]}\n"


def test_a_part_that_cannot_be_started_is_tried_until_it_can(layout: RunLayout, start: Start) -> None:
    program = layout.root / "program"
    clean = environment.clean(os.environ, str(layout.root))
    start(Part("a", (str(program),), clean, layout.logs / "a.log", 1, 2))
    states = wait(layout, lambda states: "No such file" in states["a"].fault)
    assert (states["a"].state, states["a"].pid) == ("BACKOFF", None)
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o755)
    wait(layout, lambda states: states["a"].running)


def test_the_edge_stops_before_the_others_and_who_does_not_end_is_killed(layout: RunLayout, start: Start) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(600)"
    supervisor = start(part(layout, "edge", deaf, edge=True), part(layout, "a", SLEEPER), part(layout, "b", SLEEPER))
    wait(layout, lambda states: all(each.running for each in states.values()))
    assert client.shut_down(layout)
    assert supervisor.wait(10) == 0
    ended = [event["part"] for event in events(layout) if event["event"] == "part.ended"]
    assert ended[0] == "edge"
    assert sorted(ended[1:]) == ["a", "b"]
    assert [event["part"] for event in events(layout) if event["event"] == "part.killed"] == ["edge"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_the_supervisor_stops_everything(layout: RunLayout, start: Start, number: signal.Signals) -> None:
    supervisor = start(part(layout, "a", SLEEPER))
    wait(layout, lambda states: states["a"].running)
    supervisor.send_signal(number)
    assert supervisor.wait(10) == 0
    assert not processes.of_run(layout.root)


def test_what_a_part_has_started_ends_with_it_however_it_ends(layout: RunLayout, start: Start) -> None:
    start(part(layout, "a", "import subprocess, time; subprocess.Popen(['sleep', '599']); time.sleep(600)"))
    before = wait(layout, lambda states: states["a"].running)
    os.kill(before["a"].pid or 0, signal.SIGKILL)
    wait(layout, lambda states: states["a"].running and states["a"].pid != before["a"].pid)
    # The supervisor, the part and its one child: the child of the part before is gone.
    assert len(processes.of_run(layout.root)) == 3


def test_a_full_disk_costs_lines_and_nothing_else(layout: RunLayout, start: Start) -> None:
    """Every write to /dev/full fails as one to a full disk does."""
    full = layout.logs / "a.log"
    full.symlink_to("/dev/full")
    (layout.logs / "supervisor.log").symlink_to("/dev/full")
    # Far more than a pipe holds: a part that nobody reads would stand still before its last line.
    script = """
import sys, time
for _ in range(2000): print('x' * 1000, flush=True)
print('y', file=sys.stderr, flush=True)
time.sleep(600)
"""
    start(replace(part(layout, "a", script), log=layout.logs / "err.log", stdout_log=full))
    before = wait(layout, lambda states: states["a"].running)
    os.kill(before["a"].pid or 0, signal.SIGKILL)
    wait(layout, lambda states: states["a"].running and states["a"].pid != before["a"].pid)
    assert (layout.logs / "err.log").read_text() == "y\n" * 2
    dropped = {log.name: log for log in NativeRunner(layout).log_faults()}
    assert dropped["a.log"].dropped == 4000
    assert dropped["a.log"].reason == "disk full"
    assert dropped["supervisor.log"].dropped >= 3
    assert "err.log" not in dropped


def test_a_disk_that_hangs_holds_up_nobody(layout: RunLayout, start: Start) -> None:
    """A pipe that nobody reads stands for the log: to open it takes for ever."""
    os.mkfifo(layout.logs / "hangs.log")
    script = """
import sys, time
for _ in range(8000): print('x' * 1000, flush=True)
open(sys.argv[1], 'w')
time.sleep(600)
"""
    done = layout.root / "done"
    hanging = replace(part(layout, "hangs", script), argv=(sys.executable, "-c", script, str(done)))
    supervisor = start(hanging)
    wait(layout, lambda _: done.exists())
    (fault,) = NativeRunner(layout).log_faults()
    assert (fault.name, fault.reason) == ("hangs.log", "the disk is too slow")
    assert client.shut_down(layout)
    assert supervisor.wait(20) == 0


def test_a_log_goes_on_when_the_disk_has_room_again_and_says_what_is_missing(layout: RunLayout, start: Start) -> None:
    log = layout.logs / "a.log"
    log.symlink_to("/dev/full")
    script = "import time\nfor i in range(600): print(i, flush=True); time.sleep(0.05)"
    start(part(layout, "a", script))
    wait(layout, lambda _: any(each.dropped for each in NativeRunner(layout).log_faults()))
    log.unlink()
    wait(layout, lambda _: log.exists() and log.read_text().count("\n") > 2)
    (fault,) = NativeRunner(layout).log_faults()
    assert fault.reason == ""
    # The first line that is there says how many are not.
    assert log.read_text().split("\n")[0] == str(fault.dropped)
    (resumed,) = [event for event in events(layout) if event["event"] == "log.resumed"]
    assert (resumed["log"], int(resumed["dropped"])) == ("a.log", fault.dropped)


def test_logs_are_rotated_by_size_and_no_line_is_lost(layout: RunLayout, start: Start) -> None:
    (layout.logs / "a.log.9").write_text("of a time when more were kept\n")
    script = "import time\nfor i in range(5000): print(f'{i:099}', flush=True)\ntime.sleep(600)"
    start(part(layout, "a", script), sizes=LogSizes(max_bytes=100_000, files=8))
    wait(layout, lambda states: states["a"].running)
    files = [layout.logs / f"a.log.{number}" for number in range(8, 0, -1)] + [layout.logs / "a.log"]
    there = [path for path in files if path.exists()]
    assert len(there) >= 5
    assert all(path.stat().st_size <= 100_000 for path in there)
    assert [int(line) for path in there for line in path.read_text().split()] == list(range(5000))
    assert not (layout.logs / "a.log.9").exists()


def test_state_is_read_back_and_rubbish_is_no_state(layout: RunLayout) -> None:
    places = (RoleLocation("guard", Place.REMOTE, "guard", "grpcs://triton.example.com:443"),)
    saved = msgspec.structs.replace(state(), places=places)
    save(layout, saved)
    assert load(layout) == saved
    layout.state.write_text("{")
    assert load(layout) is None

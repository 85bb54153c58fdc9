"""A real supervisord with stand-in parts: what it starts, restarts and stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgspec
import pytest

from controlplane.compile.plans import RolePlace
from controlplane.errors import RuntimeFault, UsageError
from controlplane.render.atomic import write_file
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import environment, processes, supervisord
from controlplane.runtime.native.parts import Part
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.readiness import Started, wait_ready
from controlplane.runtime.runner import PartState
from controlplane.runtime.state import Door, State, load, save
from controlplane.runtime.stop import stop
from extproc.contract import Place

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
    return Started(NativeRunner(layout), state(*parts), partial(supervisord.check, layout, supervisor))


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(layout: RunLayout) -> Iterator[Start]:
    """Starts parts; whatever the test leaves is stopped, and waited for."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*parts: Part) -> subprocess.Popen[bytes]:
        write_file(layout.supervisor_conf, supervisord.configuration(parts, layout, str(os.getuid())), 0o600)
        started.append(supervisord.start(layout, environment.clean(os.environ, str(layout.root))))
        return started[-1]

    yield start
    processes.stop_all(layout.root, grace_s=5)
    for supervisor in started:
        supervisor.wait(5)


def wait(layout: RunLayout, condition: Callable[[dict[str, PartState]], bool]) -> dict[str, PartState]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        states = {each.name: each for each in supervisord.part_states(layout) or ()}
        if states and condition(states):
            return states
        time.sleep(0.05)
    raise AssertionError((layout.logs / "supervisord.out").read_text() or "waited in vain")


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
    assert supervisord.part_states(layout) is None
    assert not stop(layout)


def test_children_of_a_part_do_not_outlive_it(layout: RunLayout, start: Start) -> None:
    script = "import signal, subprocess, time; signal.signal(15, signal.SIG_IGN); subprocess.run(['sleep', '600'])"
    start(part(layout, "a", script))
    wait(layout, lambda states: states["a"].running)
    # supervisord, the part and its child.
    assert len(processes.of_run(layout.root)) == 3
    stop(layout)
    assert not processes.of_run(layout.root)


def test_orphans_of_a_killed_supervisor_are_found_and_stopped(layout: RunLayout, start: Start) -> None:
    supervisor = start(part(layout, "a", SLEEPER))
    wait(layout, lambda states: states["a"].running)
    supervisor.kill()
    supervisor.wait(5)
    assert supervisord.part_states(layout) is None
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
    layout.supervisor_conf.write_text("[supervisord]\nlogfile=/nonexistent/x\n")
    supervisor = supervisord.start(layout, environment.clean(os.environ, str(layout.root)))
    with pytest.raises(RuntimeFault, match="supervisor ended"):
        wait_ready(started(layout, supervisor), 20, lambda _: None)
    supervisor.wait(5)


def test_values_reach_a_part_as_they_are(layout: RunLayout, start: Start) -> None:
    script = "import os, sys, time; print(sys.argv[1:], os.environ['V'], flush=True); time.sleep(600)"
    odd = "100%(x)s 'a' \"b\" \\ ;c"
    clean = environment.clean({}, str(layout.root)) | {"V": '50% "q", \\x'}
    log = layout.logs / "a.log"
    start(Part("a", (sys.executable, "-c", script, odd.replace(" ;", ";")), clean, log, 1, 2))
    wait(layout, lambda states: states["a"].running)
    assert log.read_text() == f"{[odd.replace(' ;', ';')]} {clean['V']}\n"
    stop(layout)


def test_a_path_that_supervisord_would_cut_is_refused(layout: RunLayout) -> None:
    with pytest.raises(UsageError):
        supervisord.configuration([part(layout, "a", "pass")], RunLayout(Path("/tmp/a ;b")), "0")  # noqa: S108


def test_state_is_read_back_and_rubbish_is_no_state(layout: RunLayout) -> None:
    places = (RolePlace("guard", Place.REMOTE, "guard", "grpcs://triton.example.com:443"),)
    saved = msgspec.structs.replace(state(), places=places)
    save(layout, saved)
    assert load(layout) == saved
    layout.state.write_text("{")
    assert load(layout) is None

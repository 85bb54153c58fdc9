"""Waiting until a gateway answers on every listener, or saying which part is to blame."""

from __future__ import annotations

import subprocess
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from controlplane.errors import RuntimeFault
from controlplane.runtime import probes, supervisord
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.logs import last_lines
from controlplane.runtime.parts import ENVOY, TRITON, Part
from controlplane.runtime.state import State
from controlplane.runtime.supervisord import PartState

_POLL_S: Final = 0.2
# A part that has been started so often will not come up by waiting.
_STARTS: Final = 3
_LOG_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class Started:
    """A gateway whose processes have been started and that may answer soon."""

    layout: RunLayout
    state: State
    parts: tuple[Part, ...]
    supervisor: subprocess.Popen[bytes]


def wait_ready(started: Started, deadline_s: float, say: Callable[[str], None]) -> None:
    """Return when every listener answers /healthz with 200, which takes Envoy, the filter and its models.

    RuntimeFault with the guilty part's last lines when a part keeps failing or `deadline_s` has passed.
    """
    layout, state, parts = started.layout, started.state, started.parts
    deadline = time.monotonic() + deadline_s
    starts: defaultdict[str, set[int]] = defaultdict(set)
    said = ""
    while True:
        if started.supervisor.poll() is not None:
            raise _fault("the supervisor ended", layout.logs / "supervisord.out")
        states = supervisord.part_states(layout) or ()
        for each in states:
            if each.since:
                starts[each.name].add(each.since)
            if each.state == "FATAL" or (each.state in {"BACKOFF", "EXITED"} and len(starts[each.name]) >= _STARTS):
                raise _fault(f"{each.name} does not start ({each.fault or each.state.lower()})", _log(parts, each.name))
        # Envoy asks one worker at a time: all of them are to have been asked, most likely.
        waiting = next((reason for _ in range(1 + 2 * len(parts)) if (reason := _waiting_for(state, states))), None)
        if waiting is None:
            return
        if waiting != said:
            said = waiting
            say(waiting)
        if time.monotonic() > deadline:
            raise _fault(f"not ready after {deadline_s:g} s: {waiting}", _log(parts, _guilty(state, states)))
        time.sleep(_POLL_S)


def _waiting_for(state: State, states: Sequence[PartState]) -> str | None:
    """What is not there yet, in words; None when everything is."""
    for door in state.doors:
        health = probes.door_health(door)
        if health.ready:
            continue
        if health.status is not None:
            return f"waiting for {', '.join(health.not_ready) or 'the filter'}"
        return f"waiting for the {door.name} listener"
    return None


def _guilty(state: State, states: Sequence[PartState]) -> str:
    """The part that most likely keeps the rest from being ready."""
    failing = [each.name for each in states if each.state not in {"RUNNING", "STARTING"}]
    if failing:
        return failing[0]
    if not all(probes.model_ready(state, model) for model in state.models):
        return TRITON
    if any(probes.door_health(door).status is None for door in state.doors):
        return ENVOY
    return "extproc-0"


def _log(parts: Sequence[Part], name: str) -> Path:
    return next(part.log for part in parts if part.name == name)


def _fault(reason: str, log: Path) -> RuntimeFault:
    lines = last_lines(log, _LOG_LINES)
    shown = "".join(f"\n  {line}" for line in lines) or " is empty"
    return RuntimeFault(f"{reason}\nlast lines of {log}:{shown}")

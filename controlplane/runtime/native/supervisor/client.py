"""Starts the supervisor of a run directory, asks it for its report, and tells it to stop."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import msgspec

from controlplane.errors import RuntimeFault
from controlplane.render.atomic_write import write_file
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native.log_files import last_lines
from controlplane.runtime.native.service import Service
from controlplane.runtime.native.supervisor.plan import LogSizes, SupervisorPlan, encode
from controlplane.runtime.native.supervisor.protocol import Command, Request, SupervisorReport

_PROGRAM: Final = "controlplane.runtime.native.supervisor"
_LOG_LINES: Final = 20
_TIMEOUT_S: Final = 5.0
_CHUNK: Final = 64 << 10


def write_plan(services: Sequence[Service], layout: RunLayout, sizes: LogSizes) -> None:
    """Write the plan that `start` runs."""
    plan = SupervisorPlan(
        directory=layout.root,
        socket=layout.supervisor_socket,
        events=layout.logs / "supervisor.log",
        sizes=sizes,
        services=tuple(services),
    )
    write_file(layout.supervisor_plan, encode(plan), 0o600)


def start(layout: RunLayout, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a supervisor in a new session, so that Ctrl-C in a terminal reaches only `archgw`."""
    with layout.supervisor_output.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _PROGRAM, str(layout.supervisor_plan)],
            cwd=layout.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def check(layout: RunLayout, supervisor: subprocess.Popen[bytes]) -> None:
    """Raise RuntimeFault, with its last output, if the supervisor has ended."""
    if supervisor.poll() is not None:
        log = layout.supervisor_output
        shown = "".join(f"\n  {line}" for line in last_lines(log, _LOG_LINES)) or " is empty"
        raise RuntimeFault(f"the supervisor ended\nlast lines of {log}:{shown}")


def report(layout: RunLayout) -> SupervisorReport | None:
    """Return the supervisor's report; None if none answers."""
    return _send(layout, Command.STATUS)


def shut_down(layout: RunLayout) -> bool:
    """Tell the supervisor to stop everything and end. Returns False if none answers."""
    return _send(layout, Command.STOP) is not None


def _send(layout: RunLayout, command: Command) -> SupervisorReport | None:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(str(layout.supervisor_socket))
            connection.sendall(msgspec.json.encode(Request(command)) + b"\n")
            reply = b""
            while chunk := connection.recv(_CHUNK):
                reply += chunk
        return msgspec.json.decode(reply, type=SupervisorReport)
    except (OSError, msgspec.DecodeError):
        return None

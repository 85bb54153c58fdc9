"""`supervisord`, which keeps the parts running: its configuration, its start, and the questions we ask it."""

from __future__ import annotations

import contextlib
import resource
import shlex
import subprocess
import sys
import xmlrpc.client
from collections.abc import Sequence
from typing import Any, Final

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from controlplane.errors import RuntimeFault, UsageError
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native.logs import last_lines
from controlplane.runtime.native.parts import Part
from controlplane.runtime.runner import PartState

_LOG_BYTES: Final = "10MB"
_LOG_BACKUPS: Final = 3
_LOG_LINES: Final = 20
# supervisord waits one second longer before each retry, and gives up after that many in a row.
_RETRIES: Final = 30
_OPEN_FILES: Final = 65_536


def configuration(parts: Sequence[Part], layout: RunLayout, uid: str) -> str:
    """The text of supervisord.conf."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    sections = [
        (
            "unix_http_server",
            {"file": _plain(str(layout.supervisor_socket)), "chmod": "0600"},
        ),
        (
            "rpcinterface:supervisor",
            {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
        ),
        (
            "supervisord",
            {
                "nodaemon": "true",
                "silent": "true",
                "user": uid,
                "umask": "077",
                "directory": _plain(str(layout.root)),
                "logfile": _plain(str(layout.logs / "supervisord.log")),
                "logfile_maxbytes": _LOG_BYTES,
                "logfile_backups": str(_LOG_BACKUPS),
                "pidfile": _plain(str(layout.root / "supervisord.pid")),
                "childlogdir": _plain(str(layout.logs)),
                "minfds": str(min(hard, _OPEN_FILES) if hard > 0 else _OPEN_FILES),
            },
        ),
        *((f"program:{part.name}", _program(part)) for part in parts),
        # Groups stop one after another, the highest priority first; the programs of one stop together.
        *_group("inner", 1, [part for part in parts if not part.edge]),
        *_group("edge", 2, [part for part in parts if part.edge]),
    ]
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key}={value}\n" for key, value in values.items()) for name, values in sections
    )


def _group(name: str, priority: int, parts: Sequence[Part]) -> list[tuple[str, dict[str, str]]]:
    # supervisord refuses a group without programs.
    return (
        [(f"group:{name}", {"programs": ",".join(part.name for part in parts), "priority": str(priority)})]
        if parts
        else []
    )


def _program(part: Part) -> dict[str, str]:
    values = {
        "command": _plain(shlex.join(part.argv)),
        "environment": _plain(",".join(f"{name}={_quoted(value)}" for name, value in part.environment.items())),
        "priority": str(part.order),
        "autorestart": "true",
        "startsecs": "2",
        "startretries": str(_RETRIES),
        "stopwaitsecs": str(part.stop_s),
        # Triton's model processes are its children: none may outlive it.
        "killasgroup": "true",
        "stdout_logfile": _plain(str(part.stdout_log or part.log)),
        "stdout_logfile_maxbytes": _LOG_BYTES,
        "stdout_logfile_backups": str(_LOG_BACKUPS),
    }
    if part.stdout_log is None:
        return values | {"redirect_stderr": "true"}
    return values | {
        "stderr_logfile": _plain(str(part.log)),
        "stderr_logfile_maxbytes": _LOG_BYTES,
        "stderr_logfile_backups": str(_LOG_BACKUPS),
    }


def _plain(value: str) -> str:
    """`value` so that supervisord reads it as it is: `%` starts an expansion there, ` ;` and ` #` a comment."""
    if "\n" in value or " ;" in value or " #" in value:
        raise UsageError(f"a path holds a character that supervisord cannot take: {value!r}")
    return value.replace("%", "%%")


def _quoted(value: str) -> str:
    # supervisord knows two quotes there and no escape.
    for quote in ('"', "'"):
        if quote not in value:
            return f"{quote}{value}{quote}"
    raise UsageError(f"an environment variable holds both kinds of quotes, which supervisord cannot take: {value!r}")


def start(layout: RunLayout, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start supervisord in a session of its own, so that a terminal's Ctrl-C is ours to handle and not the parts'."""
    with (layout.logs / "supervisord.out").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(layout.supervisor_conf)],
            cwd=layout.root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def check(layout: RunLayout, supervisor: subprocess.Popen[bytes]) -> None:
    """RuntimeFault, with its last words, when supervisord itself has ended."""
    if supervisor.poll() is not None:
        log = layout.logs / "supervisord.out"
        shown = "".join(f"\n  {line}" for line in last_lines(log, _LOG_LINES)) or " is empty"
        raise RuntimeFault(f"the supervisor ended\nlast lines of {log}:{shown}")


def part_states(layout: RunLayout) -> tuple[PartState, ...] | None:
    """Every part's state, in name order; None where no supervisord answers."""
    try:
        answer: Any = _call(layout, "getAllProcessInfo")
    except RuntimeFault:
        return None
    return tuple(
        PartState(
            name=each["name"],
            state=each["statename"],
            pid=each["pid"] or None,
            since=each["start"],
            fault=each["spawnerr"] or (each["description"] if each["statename"] in {"BACKOFF", "FATAL"} else ""),
        )
        for each in sorted(answer, key=lambda each: str(each["name"]))
    )


def shut_down(layout: RunLayout) -> bool:
    """Ask supervisord to stop everything and end. False where none answers."""
    try:
        _call(layout, "shutdown")
    except RuntimeFault:
        return False
    return True


def _call(layout: RunLayout, method: str) -> object:
    transport = SupervisorTransport("", "", f"unix://{layout.supervisor_socket}")
    proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)
    try:
        with contextlib.closing(transport):
            namespace: Any = proxy.supervisor
            answer: object = getattr(namespace, method)()
    except (OSError, xmlrpc.client.Error) as error:
        raise RuntimeFault(f"supervisord does not answer: {error}") from error
    return answer

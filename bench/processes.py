"""Starts and stops the measured processes, and reads their memory and processor time from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from bench.load import BenchError

_STOP_SECONDS: Final = 10.0
_LAST_LINES: Final = 15
MB: Final = 1_000_000


def free_ports(count: int) -> list[int]:
    """Returns distinct free ports: all are bound at once."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def running(
    argv: Sequence[str], log: Path, *, ready: Callable[[], None], seconds: float, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Starts a process and yields its pid once `ready` no longer raises; stops its process group at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}, start_new_session=True
        )
    try:
        _wait(process, argv[0], log, ready, seconds)
        yield process.pid
    finally:
        _stop_group(process)


def _wait(process: subprocess.Popen[bytes], name: str, log: Path, ready: Callable[[], None], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return ready()
        except (OSError, ValueError, LookupError) as error:
            if process.poll() is not None or time.monotonic() > deadline:
                last = "\n".join(log.read_text(errors="replace").splitlines()[-_LAST_LINES:])
                raise BenchError(f"{name} is not ready ({error}); its last lines:\n{last}") from error
        time.sleep(0.1)


def _stop_group(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)


def resident(pid: int) -> int:
    """Returns the bytes of resident memory (VmRSS), 0 for no such process. Shared pages count in full."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def processor_seconds(pid: int) -> float:
    """Returns the user and system time so far of `pid` and all its descendants."""
    ticks = 0
    for one in descendants(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # utime and stime, counted from after the command name, which may contain spaces.
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """Returns `pid` and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The command name, in parentheses, may contain spaces: the fields are counted from the last parenthesis.
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return found

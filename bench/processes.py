"""Starting what is measured, stopping all of it, and reading its memory from /proc."""

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
    """Ports that nobody listens on. All are held at once, so that no two are the same."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]


@contextlib.contextmanager
def running(
    argv: Sequence[str], log: Path, *, ready: Callable[[], None], seconds: float, env: Mapping[str, str] | None = None
) -> Iterator[int]:
    """The process, from when `ready` no longer raises; its whole process group is gone at the end. Yields its pid."""
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
    """Bytes of resident memory (VmRSS). Pages shared with other processes count in full. 0: no such process."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    return 0


def processor_seconds(pid: int) -> float:
    """User and system time of `pid` and of every process below it, until now."""
    ticks = 0
    for one in descendants(pid):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # utime and stime, counted from behind the command name, which may hold spaces.
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def descendants(pid: int) -> list[int]:
    """`pid` and every process below it."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            # The command name, in parentheses, may hold spaces: the fields are counted from the last one.
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found.extend(children.get(one, ()))
    return found

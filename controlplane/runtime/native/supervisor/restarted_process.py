"""Keeps one service running: starts it, starts it again when it has ended, and ends it with everything that it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Final

from controlplane.runtime.native.service import Service
from controlplane.runtime.native.supervisor import event_log
from controlplane.runtime.native.supervisor.log_writer import Log
from controlplane.runtime.native.supervisor.output_pipe import OutputPipe
from controlplane.runtime.native.supervisor.protocol import ServicePhase, ServiceReport

# A service that ends sooner did not start.
_START_S: Final = 2.0
# After each such failure in a row, one second longer until the next try; it is tried for ever.
_LONGEST_PAUSE_S: Final = 10.0


class RestartedProcess:
    """`keep` runs as a task until `stop` has been called. `reap` is called whenever some child may have ended."""

    def __init__(self, service: Service, directory: Path, stdout: Log, stderr: Log, own: Log) -> None:
        self.service = service
        self.pipes: set[OutputPipe] = set()
        self._directory = directory
        self._stdout, self._stderr, self._own = stdout, stderr, own
        self._process: subprocess.Popen[bytes] | None = None
        self._ended = asyncio.Event()
        self._stopping = asyncio.Event()
        self._failures = 0
        self._started = 0.0
        self._since = 0
        self._fault = ""

    def report(self) -> ServiceReport:
        running = self._process is not None
        return ServiceReport(
            name=self.service.name,
            state=self._state(),
            pid=self._process.pid if self._process is not None else None,
            since=self._since,
            # Of a service that runs, how the one before it ended is in the log.
            fault="" if running else self._fault,
        )

    def _state(self) -> ServicePhase:
        if self._process is None:
            return ServicePhase.STOPPED if self._stopping.is_set() else ServicePhase.BACKOFF
        if self._stopping.is_set():
            return ServicePhase.STOPPING
        return ServicePhase.RUNNING if time.monotonic() - self._started >= _START_S else ServicePhase.STARTING

    async def run(self) -> None:
        while not self._stopping.is_set():
            if self._spawn():
                await self._ended.wait()
            if self._process is None and time.monotonic() - self._started >= _START_S:
                self._failures = 0
                continue
            self._failures += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), min(self._failures, _LONGEST_PAUSE_S))

    async def stop(self) -> None:
        """Return when the service and whatever it started have ended: SIGTERM, then SIGKILL after its `stop_s`."""
        self._stopping.set()
        if self._process is None:
            return
        event_log.write(self._own, "part.stopping", service=self.service.name, pid=self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._ended.wait(), self.service.stop_s)
        except TimeoutError:
            event_log.write(self._own, "part.killed", service=self.service.name, after_s=self.service.stop_s)
            _kill_group(self._process.pid)
            await self._ended.wait()

    def reap(self) -> None:
        """Take note of the service's end, if it has ended, and end what it has left behind."""
        process = self._process
        if process is None or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        # Before its process id is given up: until then no other group can have that number.
        _kill_group(process.pid)
        self._fault = _how(process.wait())
        self._process = None
        event_log.write(self._own, "part.ended", service=self.service.name, pid=process.pid, how=self._fault)
        self._ended.set()

    def _spawn(self) -> bool:
        self._ended.clear()
        self._started, self._since = time.monotonic(), int(time.time())
        try:
            self._process = self._popen()
        except OSError as error:
            # A program that is missing, or a machine without processes, memory or file descriptors to spare.
            self._fault = f"cannot be started: {error.strerror}: {error.filename or self.service.argv[0]}"
            event_log.write(self._own, "part.failed", service=self.service.name, why=self._fault)
            return False
        event_log.write(self._own, "part.started", service=self.service.name, pid=self._process.pid)
        return True

    def _popen(self) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as write_ends:

            def pipe(log: Log) -> int:
                made = OutputPipe(log)
                write_ends.callback(made.handed_over)
                self.pipes.add(made)
                made.ended.add_done_callback(lambda _: self.pipes.discard(made))
                return made.write_end

            stdout = pipe(self._stdout)
            return subprocess.Popen(
                self.service.argv,
                cwd=self._directory,
                env=dict(self.service.environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stdout if self._stderr is self._stdout else pipe(self._stderr),
                umask=0o077,
                # A group of its own: Triton's model processes are its children, and none may outlive it.
                start_new_session=True,
            )


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

"""Runs one service: starts its process, restarts it when it ends, and ends it together with its children."""

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

# A process that ends sooner counts as a failed start.
_START_S: Final = 2.0
# Longest pause before a restart. The pause grows by one second per failed start in a row. Restarts never stop.
_MAX_PAUSE_S: Final = 10.0


class RestartedProcess:
    """`run` is a task that ends after `stop`. `reap` must be called whenever a child may have ended (SIGCHLD)."""

    def __init__(self, service: Service, directory: Path, stdout: Log, stderr: Log, events: Log) -> None:
        self.service = service
        self.pipes: set[OutputPipe] = set()
        self._directory = directory
        self._stdout, self._stderr, self._events = stdout, stderr, events
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
            # The fault of the previous process is in the log.
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
                await asyncio.wait_for(self._stopping.wait(), min(self._failures, _MAX_PAUSE_S))

    async def stop(self) -> None:
        """End the process and its children: SIGTERM, and SIGKILL after `stop_s`. Returns when they have ended."""
        self._stopping.set()
        if self._process is None:
            return
        event_log.write(self._events, "part.stopping", part=self.service.name, pid=self._process.pid)
        self._process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(self._ended.wait(), self.service.stop_s)
        except TimeoutError:
            event_log.write(self._events, "part.killed", part=self.service.name, after_s=self.service.stop_s)
            _kill_group(self._process.pid)
            await self._ended.wait()

    def reap(self) -> None:
        """If the process has ended, record the exit reason and kill its remaining children."""
        process = self._process
        if process is None or os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return
        # Done before wait() frees the process id: until then, no other process group can have this id.
        _kill_group(process.pid)
        self._fault = _exit_reason(process.wait())
        self._process = None
        event_log.write(self._events, "part.ended", part=self.service.name, pid=process.pid, how=self._fault)
        self._ended.set()

    def _spawn(self) -> bool:
        self._ended.clear()
        self._started, self._since = time.monotonic(), int(time.time())
        try:
            self._process = self._popen()
        except OSError as error:
            # The program is missing, or the machine is out of processes, memory or file descriptors.
            self._fault = f"cannot be started: {error.strerror}: {error.filename or self.service.argv[0]}"
            event_log.write(self._events, "part.failed", part=self.service.name, why=self._fault)
            return False
        event_log.write(self._events, "part.started", part=self.service.name, pid=self._process.pid)
        return True

    def _popen(self) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as write_ends:

            def pipe(log: Log) -> int:
                output = OutputPipe(log)
                write_ends.callback(output.close_write_end)
                self.pipes.add(output)
                output.ended.add_done_callback(lambda _: self.pipes.discard(output))
                return output.write_end

            stdout = pipe(self._stdout)
            return subprocess.Popen(
                self.service.argv,
                cwd=self._directory,
                env=dict(self.service.environment),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stdout if self._stderr is self._stdout else pipe(self._stderr),
                umask=0o077,
                # A process group per service: Triton's model processes are its children, and none may outlive it.
                start_new_session=True,
            )


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _exit_reason(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"

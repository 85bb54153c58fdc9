"""Follows the logs of a Compose project: several containers at once, across restarts and new containers."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from typing import IO, Final, Literal

from controlplane.runtime.docker.docker_command import MAX_LINE, terminate
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.engine_objects import Container
from controlplane.runtime.docker.terminal_text import printable

_POLL_S: Final = 1.0
_CHUNK: Final = 64 << 10
# States in which a container writes, or soon will.
_ALIVE: Final = frozenset({"created", "running", "paused", "restarting"})


@dataclass(frozen=True, slots=True)
class LogLine:
    """One printable line of a container's log."""

    service: str
    stream: Literal["stdout", "stderr"]
    text: str


def follow(
    engine: Engine, project: str, services: Collection[str] | None = None, lines: int = 0
) -> Generator[LogLine, None, None]:
    """Yield new log lines of the containers of `services` (None: all), after the last `lines` of each.

    Ends when no container of the project runs or will run. RuntimeFault if the engine fails. A caller that leaves
    early must close the generator (contextlib.closing): until then, a `docker logs` runs for each container.
    """
    tail = str(lines)
    followed: dict[str, _Followed] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while True:
                containers = [each for each in engine.containers(project) if not each.oneoff]
                for container in containers:
                    if services is None or container.service in services:
                        each = followed.setdefault(container.id, _Followed(container.service, tail))
                        each.update(engine, container, selector)
                # Containers that appear later are shown from their first line.
                tail = "all"
                if not selector.get_map() and not any(each.state in _ALIVE for each in containers):
                    return
                yield from _read(selector)
        finally:
            for each in followed.values():
                each.close()


def _read(selector: selectors.BaseSelector) -> Iterator[LogLine]:
    until = time.monotonic() + _POLL_S
    while (left := until - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            pipe: _Pipe = key.data
            chunk = os.read(pipe.file.fileno(), _CHUNK)
            if not chunk:
                selector.unregister(pipe.file)
            yield from pipe.lines(chunk)


@dataclass(slots=True)
class _Followed:
    """One container. `run`: start time of the followed run. `stamp`: timestamp of the last line shown."""

    service: str
    tail: str
    run: float = 0.0
    stamp: str = ""
    process: subprocess.Popen[bytes] | None = None

    def update(self, engine: Engine, container: Container, selector: selectors.BaseSelector) -> None:
        """Start `docker logs` if the container writes and none runs. `docker logs` ends when the container stops."""
        if self.process is not None and not (self.process.poll() is not None and self._is_read(selector)):
            return
        restarted = container.started_at != self.run
        if (not restarted and container.state not in _ALIVE) or container.started_at == 0:
            return
        since = ["--tail", self.tail]
        if self.stamp or (self.run and restarted):
            since = ["--since", self.stamp or f"{container.started_at:.6f}"]
        self.close()
        self.run = container.started_at
        self.process = engine.open("logs", "--follow", "--timestamps", *since, container.id)
        for file, stream in ((self.process.stdout, "stdout"), (self.process.stderr, "stderr")):
            assert file is not None  # noqa: S101 - both are pipes
            pipe = _Pipe(self, file, "stdout" if stream == "stdout" else "stderr", self.stamp)
            selector.register(file, selectors.EVENT_READ, pipe)

    def _is_read(self, selector: selectors.BaseSelector) -> bool:
        return all(key.data.followed is not self for key in selector.get_map().values())

    def close(self) -> None:
        """Stop following."""
        if self.process is not None:
            terminate(self.process)
            for file in (self.process.stdout, self.process.stderr):
                if file is not None:
                    file.close()


@dataclass(slots=True)
class _Pipe:
    """One stream of one `docker logs`. `after`: lines up to this timestamp were shown by the previous one."""

    followed: _Followed
    file: IO[bytes]
    stream: Literal["stdout", "stderr"]
    after: str
    rest: bytes = b""

    def lines(self, chunk: bytes) -> Iterator[LogLine]:
        *whole, rest = (self.rest + chunk).split(b"\n")
        # An incomplete line is kept only as far as it will be shown.
        self.rest = rest[:MAX_LINE]
        for raw in whole:
            stamp, _, text = raw[:MAX_LINE].decode(errors="replace").partition(" ")
            # Timestamps have one width, so they can be compared as text. Lines without one are messages of `docker`.
            if _is_stamp(stamp) and stamp > self.after:
                self.followed.stamp = max(self.followed.stamp, stamp)
                yield LogLine(self.followed.service, self.stream, printable(text))


def _is_stamp(word: str) -> bool:
    return len(word) == len("2006-01-02T15:04:05.000000000Z") and word.endswith("Z") and word[:4].isdigit()

"""The logs of a compose project as they grow: several containers at once, through restarts and new containers."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass
from typing import IO, Final, Literal

from controlplane.runtime.docker import engine_errors
from controlplane.runtime.docker.engine import LINE, Container, Engine, end

_POLL_S: Final = 1.0
_CHUNK: Final = 64 << 10
# More may be written by these: what is created or restarting will run.
_ALIVE: Final = frozenset({"created", "running", "paused", "restarting"})


@dataclass(frozen=True, slots=True)
class LogLine:
    """What a container wrote: one line, without what could move a terminal."""

    service: str
    stream: Literal["stdout", "stderr"]
    text: str


def follow(
    engine: Engine, project: str, services: Collection[str] | None = None, lines: int = 0
) -> Generator[LogLine, None, None]:
    """What the containers of `services` (None: all) write from now on, after the last `lines` of each.

    Ends when nothing of the project runs or is about to; RuntimeFault where the engine goes. Close it where you leave
    it early (contextlib.closing): `docker logs` runs for each container until then.
    """
    tail = str(lines)
    followed: dict[str, _Followed] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while True:
                here = [each for each in engine.containers(project) if not each.oneoff]
                for container in here:
                    if services is None or container.service in services:
                        each = followed.setdefault(container.id, _Followed(container.service, tail))
                        each.look(engine, container, selector)
                # What appears later is shown from its first line.
                tail = "all"
                if not selector.get_map() and not any(each.state in _ALIVE for each in here):
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
    """One container. `run`: when the run that is followed began; `stamp`: of the last line that was shown."""

    service: str
    tail: str
    run: float = 0.0
    stamp: str = ""
    process: subprocess.Popen[bytes] | None = None

    def look(self, engine: Engine, container: Container, selector: selectors.BaseSelector) -> None:
        """Follow the container where it writes and is not followed: `docker logs` ends with each run of it."""
        if self.process is not None and not (self.process.poll() is not None and self._is_read(selector)):
            return
        again = container.started_at != self.run
        if (not again and container.state not in _ALIVE) or container.started_at == 0:
            return
        since = ["--tail", self.tail]
        if self.stamp or (self.run and again):
            since = ["--since", self.stamp or f"{container.started_at:.6f}"]
        self.close()
        self.run = container.started_at
        self.process = engine.open("logs", "--follow", "--timestamps", *since, container.id)
        for file, stream in ((self.process.stdout, "stdout"), (self.process.stderr, "stderr")):
            assert file is not None  # noqa: S101 - both were asked for
            pipe = _Pipe(self, file, "stdout" if stream == "stdout" else "stderr", self.stamp)
            selector.register(file, selectors.EVENT_READ, pipe)

    def _is_read(self, selector: selectors.BaseSelector) -> bool:
        return all(key.data.followed is not self for key in selector.get_map().values())

    def close(self) -> None:
        """Stop following."""
        if self.process is not None:
            end(self.process)
            for file in (self.process.stdout, self.process.stderr):
                if file is not None:
                    file.close()


@dataclass(slots=True)
class _Pipe:
    """One stream of one `docker logs`. `after`: the stamp of the last line that the one before has shown."""

    followed: _Followed
    file: IO[bytes]
    stream: Literal["stdout", "stderr"]
    after: str
    rest: bytes = b""

    def lines(self, chunk: bytes) -> Iterator[LogLine]:
        *whole, rest = (self.rest + chunk).split(b"\n")
        # Of a line without an end, no more is kept than is shown.
        self.rest = rest[:LINE]
        for raw in whole:
            stamp, _, text = raw[:LINE].decode(errors="replace").partition(" ")
            # Stamps are of one width, so their order is that of their text. What has none are words of `docker` itself.
            if _is_stamp(stamp) and stamp > self.after:
                self.followed.stamp = max(self.followed.stamp, stamp)
                yield LogLine(self.followed.service, self.stream, engine_errors.plain(text))


def _is_stamp(word: str) -> bool:
    return len(word) == len("2006-01-02T15:04:05.000000000Z") and word.endswith("Z") and word[:4].isdigit()

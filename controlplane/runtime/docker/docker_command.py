"""Runs the `docker` command line, so that contexts, DOCKER_HOST and logins apply. Base of `engine`.

Every failure is a RuntimeFault with the way out (`engine_errors`). Output is limited in size, and is made printable
where it may reach a terminal.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Final, Self

from controlplane.errors import RuntimeFault
from controlplane.runtime.docker import engine_errors
from controlplane.runtime.docker.terminal_text import printable

# Variables that `docker` and its helpers (credential helpers, ssh) read. API keys of providers, which a gateway's
# environment contains, are not passed on.
_KEPT: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR"),
        *("SSH_AUTH_SOCK", "GNUPGHOME", "DBUS_SESSION_BUS_ADDRESS"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("AWS_PROFILE", "AWS_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"),
    }
)
_KEPT_PREFIXES: Final = ("DOCKER_", "XDG_", "BUILDX_", "BUILDKIT_")

# For queries. An engine on this machine answers in milliseconds, one behind ssh in a second or two.
QUERY_S: Final = 10.0
_WORK_S: Final = 120.0
_KILL_S: Final = 5.0
MAX_STDOUT_BYTES: Final = 16 << 20
MAX_STDERR_BYTES: Final = 64 << 10
# The reason for a failed build is within its last lines.
_LAST_LINES: Final = 200
# Longer lines are cut.
MAX_LINE: Final = 16 << 10


class DockerProcess:
    """A running `docker` command. It has its own session, so that Ctrl-C does not reach it. A context manager."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process = process
        self._output = output

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._output.close()

    def poll(self) -> int | None:
        """Return the exit status; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Return the exit status; None if it still runs after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    @property
    def output(self) -> str:
        """The last part of the output so far, of both streams."""
        return end_of_file(self._output, MAX_STDERR_BYTES)

    def kill(self) -> None:
        """Terminate it and its children, such as Compose's plugin. Does nothing if it has ended."""
        terminate(self._process)


@dataclass(frozen=True, slots=True)
class DockerCommand:
    """The `docker` program with its environment. Every method may raise RuntimeFault."""

    program: str
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """Return the `docker` on PATH. Does not check that an engine answers."""
        program = shutil.which("docker", path=environ.get("PATH"))
        if program is None:
            raise engine_errors.no_cli()
        kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
        return cls(program, kept | {"LANG": "C", "LC_ALL": "C"})

    def run(self, *args: str, input: str | None = None, timeout_s: float = _WORK_S, doing: str = "") -> str:  # noqa: A002
        """Return the standard output of `docker args`. `doing`: the action, in words, for the message of a fault."""
        code, stdout, stderr = self.capture(*args, input=input, timeout_s=timeout_s)
        if code != 0:
            raise engine_errors.explain(doing or _name(args), stderr or stdout)
        return stdout

    def capture(
        self,
        *args: str,
        input: str | None = None,  # noqa: A002
        timeout_s: float,
    ) -> tuple[int, str, str]:
        """Return exit status, standard output and standard error. Both go to files: a full pipe would block."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.spawn(args, stdout=out, stderr=err, stdin=None if input is None else subprocess.PIPE)
            code = self.finish(process, args, timeout_s, input)
            if os.fstat(out.fileno()).st_size > MAX_STDOUT_BYTES:
                raise engine_errors.not_docker(f"more than {MAX_STDOUT_BYTES >> 20} MiB from {_name(args)}")
            return code, end_of_file(out, MAX_STDOUT_BYTES), end_of_file(err, MAX_STDERR_BYTES)

    def start(self, *args: str) -> DockerProcess:
        """Start `docker args`, for commands that block, like `docker compose up`. The caller must close the result."""
        output = tempfile.TemporaryFile()  # noqa: SIM115 - DockerProcess closes it
        try:
            return DockerProcess(self.spawn(args, stdout=output, stderr=subprocess.STDOUT), output)
        except BaseException:
            output.close()
            raise

    def stream(self, *args: str, on_line: Callable[[str], None], doing: str = "") -> None:
        """Run `docker args` and call `on_line` for each line of both streams. For builds and pulls, which take long."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        process = self.spawn(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None  # noqa: S101 - a pipe
        try:
            for line in _lines(process.stdout):
                last.append(line)
                on_line(line)
            code = process.wait()
        finally:
            terminate(process)
        if code != 0:
            raise engine_errors.explain(doing or _name(args), "\n".join(last))

    def open(self, *args: str) -> subprocess.Popen[bytes]:
        """Start `docker args` in its own session with both streams as pipes. The caller must `terminate` it."""
        return self.spawn(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def spawn(
        self, args: Sequence[str], *, stdout: IO[bytes] | int, stderr: IO[bytes] | int, stdin: int | None = None
    ) -> subprocess.Popen[bytes]:
        """Start `docker args` in its own session."""
        try:
            return subprocess.Popen(
                [self.program, *args],
                env=dict(self.environment),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            raise RuntimeFault(f"{self.program} cannot be run: {error.strerror}") from error

    def finish(
        self,
        process: subprocess.Popen[bytes],
        args: Sequence[str],
        timeout_s: float,
        input: str | None = None,  # noqa: A002
    ) -> int:
        """Write `input` to a spawned process, wait for its end and return its exit status."""
        try:
            process.communicate(None if input is None else input.encode(), timeout_s)
        except subprocess.TimeoutExpired:
            raise engine_errors.timed_out(_name(args), timeout_s) from None
        finally:
            terminate(process)
        return process.returncode


def terminate(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children: SIGTERM, then SIGKILL. Does nothing if it has ended."""
    if process.poll() is not None:
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_S)


def end_of_file(file: IO[bytes], max_bytes: int) -> str:
    """Return at most the last `max_bytes` of a file that another process may still be writing."""
    # pread(): the writer shares the file position with us.
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), max_bytes, max(0, size - max_bytes)).decode(errors="replace")


def _name(args: Sequence[str]) -> str:
    return f"docker {args[0]}"


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    # Text mode also splits at carriage returns, with which progress bars end their lines.
    with io.TextIOWrapper(pipe, encoding="utf-8", errors="replace") as text:
        while line := text.readline(MAX_LINE):
            yield printable(line.rstrip("\n"))

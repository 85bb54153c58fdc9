"""The Docker engine, as we ask it: through the `docker` command line, so that contexts, DOCKER_HOST and logins apply.

Whatever fails is a RuntimeFault with the way out (`faults`). No text of a container reaches a terminal unchecked, and
no answer is read beyond a bound.
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
from datetime import datetime
from typing import IO, Final, Self, TypeVar

import msgspec

from controlplane.errors import RuntimeFault
from controlplane.runtime.docker import engine_errors

PROJECT_LABEL: Final = "com.docker.compose.project"
_SERVICE_LABEL: Final = "com.docker.compose.service"
_ONEOFF_LABEL: Final = "com.docker.compose.oneoff"

# What the command line and its helpers (logins, ssh://) read: where the engine is, and whose login. Keys of providers,
# which a gateway's environment is full of, are none of its business.
_KEPT: Final = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR"),
        *("SSH_AUTH_SOCK", "GNUPGHOME", "DBUS_SESSION_BUS_ADDRESS"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy"),
        *("AWS_PROFILE", "AWS_REGION", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "CLOUDSDK_CONFIG"),
    }
)
_KEPT_PREFIXES: Final = ("DOCKER_", "XDG_", "BUILDX_", "BUILDKIT_")

# An engine on this machine answers in milliseconds, one behind ssh in a second or two.
_ANSWER_S: Final = 10.0
_WORK_S: Final = 120.0
_KILL_S: Final = 5.0
# Enough of a log to see why its container ended, and little enough for one screen.
_FAULT_LINES: Final = 15
_OVERSIZE: Final = 20
_MOST_BYTES: Final = 16 << 20
_SAID_BYTES: Final = 64 << 10
# What a build says about its failure is within its last lines.
_LAST_LINES: Final = 200
# Longer ones are cut.
LINE: Final = 16 << 10


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What the engine says of itself. `version` as it writes it, like 20.10.24+dfsg1; `api`: what both sides speak."""

    version: str
    api: str
    rootless: bool
    runtimes: tuple[str, ...]
    security: tuple[str, ...]
    system: str
    cpus: int
    memory: int


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a compose project.

    `state`: created, running, paused, restarting, removing, exited or dead. `health`: starting, healthy, unhealthy, or
    None where it has no check; `check` is what that said last. `exit_code` means something once it ended. `started_at`
    and `finished_at`: seconds since the epoch, 0 never. `error`: why the engine could not start it. `image`: as
    configured.
    """

    service: str
    id: str
    name: str
    state: str
    exit_code: int
    health: str | None
    check: str
    pid: int | None
    started_at: float
    finished_at: float
    restarts: int
    oom_killed: bool
    error: str
    image: str
    image_id: str
    oneoff: bool
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True, slots=True)
class LocalImage:
    """An image that the engine has. `size` in bytes, shared layers included; `digests`: its names in registries."""

    id: str
    size: int
    labels: Mapping[str, str]
    digests: tuple[str, ...]
    architecture: str
    user: str


class Running:
    """A `docker` command under way, in a session of its own: a terminal's Ctrl-C is ours to handle. A context."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[bytes]) -> None:
        self._process = process
        self._said = said

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._said.close()

    def poll(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def wait(self, timeout_s: float) -> int | None:
        """Its exit status; None where it runs on after `timeout_s`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout_s)
        return None

    @property
    def said(self) -> str:
        """The end of what it has written so far, both streams."""
        return _end_of(self._said, _SAID_BYTES)

    def kill(self) -> None:
        """End it and its children, such as Compose's plugin: asked first, then not. Nothing where it has ended."""
        end(self._process)


@dataclass(frozen=True, slots=True)
class Engine:
    """The engine that `docker` would talk to. Every method may raise RuntimeFault."""

    program: str
    environment: Mapping[str, str] = field(repr=False)

    @classmethod
    def find(cls, environ: Mapping[str, str] = os.environ) -> Self:
        """The `docker` on PATH. Whether an engine answers, `check` says."""
        program = shutil.which("docker", path=environ.get("PATH"))
        if program is None:
            raise engine_errors.no_cli()
        kept = {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
        return cls(program, kept | {"LANG": "C", "LC_ALL": "C"})

    def info(self) -> EngineInfo:
        """What answers. The fault says why nothing does."""
        version = _decoded(self.run("version", "--format", "{{json .}}", timeout_s=_ANSWER_S), _Version)
        info = _decoded(self.run("info", "--format", "{{json .}}", timeout_s=_ANSWER_S), _Info)
        # The command line of 20.10 reports an engine that is not there inside its answer.
        if info.server_errors:
            raise engine_errors.explain("asking the Docker engine", "\n".join(info.server_errors))
        if version.server is None:
            raise engine_errors.not_docker("`docker version` names no server")
        security = tuple(info.security_options or ())
        return EngineInfo(
            version=version.server.version,
            api=version.client.api_version,
            rootless=any(option.startswith("name=rootless") for option in security),
            runtimes=tuple(sorted(info.runtimes or ())),
            security=security,
            system=info.os_type,
            cpus=info.ncpu,
            memory=info.mem_total,
        )

    def compose_version(self) -> str | None:
        """As the plugin writes it; None where there is none."""
        code, stdout, _ = self._ask("compose", "version", "--short", timeout_s=_ANSWER_S)
        return stdout.strip() if code == 0 else None

    def check(self) -> EngineInfo:
        """That the engine and its Compose plugin are there and new enough."""
        info = self.info()
        if not engine_errors.is_at_least(info.version, engine_errors.ENGINE_AT_LEAST):
            raise engine_errors.engine_too_old(info.version)
        if info.system != "linux":
            raise engine_errors.not_linux(info.system)
        compose = self.compose_version()
        if compose is None or not engine_errors.is_at_least(compose, engine_errors.COMPOSE_AT_LEAST):
            raise engine_errors.no_compose(compose)
        return info

    def run(self, *args: str, input: str | None = None, timeout_s: float = _WORK_S, doing: str = "") -> str:  # noqa: A002
        """The standard output of `docker args`. `doing` says in words what fails where it fails."""
        code, stdout, stderr = self._ask(*args, given=input, timeout_s=timeout_s)
        if code != 0:
            raise engine_errors.explain(doing or _named(args), stderr or stdout)
        return stdout

    def start(self, *args: str) -> Running:
        """`docker args` under way; for what blocks, like `docker compose up`. To be used as a context."""
        said = tempfile.TemporaryFile()  # noqa: SIM115 - `Running` closes it
        try:
            return Running(self._process(args, stdout=said, stderr=subprocess.STDOUT), said)
        except BaseException:
            said.close()
            raise

    def stream(self, *args: str, on_line: Callable[[str], None], doing: str = "") -> None:
        """`docker args`, each line of both streams to `on_line` as it comes; for builds and pulls, which take long."""
        last: deque[str] = deque(maxlen=_LAST_LINES)
        process = self._process(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            for line in _lines(process.stdout):
                last.append(line)
                on_line(line)
            code = process.wait()
        finally:
            end(process)
        if code != 0:
            raise engine_errors.explain(doing or _named(args), "\n".join(last))

    def fault(
        self, doing: str, said: str, *, project: str | None = None, ports: Mapping[int, str] | None = None
    ) -> RuntimeFault:
        """What Docker `said`, explained; with the last lines of the container that it accuses. Raises nothing.

        `ports`: the configuration key of each published port.
        """
        accused = engine_errors.accused(said)
        name = None if accused is None else accused.container
        lines: list[str] = []
        # The first fault is the one to tell, also where the engine has gone meanwhile.
        with contextlib.suppress(RuntimeFault):
            if accused is not None and accused.service is not None and project is not None:
                name = next((each.id for each in self.containers(project) if each.service == accused.service), None)
            if name is not None:
                lines = self.logs(name, _FAULT_LINES)
        return engine_errors.explain(doing, said, ports=ports, lines=lines)

    # --- images

    def image(self, ref: str) -> LocalImage | None:
        """The image that the engine has under that name or id; None where it has none. Nothing is pulled."""
        code, stdout, stderr = self._ask("image", "inspect", "--format", "{{json .}}", ref, timeout_s=_ANSWER_S)
        if code != 0:
            if "no such image" in stderr.lower():
                return None
            raise engine_errors.explain(f"looking for the image {ref}", stderr)
        each = _decoded(stdout, _Image)
        config = each.config or _ImageConfig()
        return LocalImage(
            each.id, each.size, config.labels or {}, tuple(each.repo_digests or ()), each.architecture, config.user
        )

    def has_image(self, ref: str) -> bool:
        """Whether the engine has it already."""
        return self.image(ref) is not None

    def image_labels(self, ref: str) -> Mapping[str, str] | None:
        """Its labels; None where the engine has no such image."""
        image = self.image(ref)
        return None if image is None else image.labels

    def pull(self, ref: str, say: Callable[[str], None]) -> None:
        """Fetch an image from its registry, each line of progress to `say`."""
        self.stream("pull", ref, on_line=say, doing=f"fetching the image {ref}")

    def can_pull(self, ref: str, timeout_s: float = 5.0) -> bool:
        """Whether the registry has it, as far as can be told from here within `timeout_s`. Raises nothing."""
        with contextlib.suppress(RuntimeFault):
            return self._ask("manifest", "inspect", ref, timeout_s=timeout_s)[0] == 0
        return False

    # --- projects

    def containers(self, project: str) -> tuple[Container, ...]:
        """The containers of a compose project, running or not, in the order of their services and names."""
        listed = self.run(
            "ps", "-aq", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}", timeout_s=_ANSWER_S
        ).split()
        if not listed:
            return ()
        code, stdout, stderr = self._ask(
            "inspect", "--type", "container", "--format", "{{json .}}", *listed, timeout_s=_ANSWER_S
        )
        # One that was removed since is no fault.
        if code != 0 and "no such" not in stderr.lower():
            raise engine_errors.explain("asking for the containers", stderr)
        return containers_of(stdout)

    def networks(self, project: str) -> tuple[str, ...]:
        """The names of a project's networks."""
        return self._names("network", project)

    def volumes(self, project: str) -> tuple[str, ...]:
        """The names of a project's volumes."""
        return self._names("volume", project)

    def _names(self, kind: str, project: str) -> tuple[str, ...]:
        label = f"label={PROJECT_LABEL}={project}"
        answer = self.run(kind, "ls", "--filter", label, "--format", "{{.Name}}", timeout_s=_ANSWER_S)
        return tuple(sorted(answer.split()))

    # --- one container

    def logs(self, container: str, lines: int, *, stdout: bool = True, stderr: bool = True) -> list[str]:
        """The last `lines` of both streams, in the order in which the engine tells them, or of one of them."""
        if lines <= 0:
            return []
        if stdout and stderr:
            return self._log(container, str(lines), both=True)[-lines:]
        found: list[str] = []
        # Docker counts the lines of both streams, and one may be rare among the other's.
        for tail in (str(_OVERSIZE * lines), "all"):
            found = self._log(container, tail, stdout=stdout)[-lines:]
            if len(found) == lines:
                break
        return found

    def _log(self, container: str, tail: str, *, stdout: bool = True, both: bool = False) -> list[str]:
        args = ("logs", "--tail", tail, container)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._process(args, stdout=out if stdout else subprocess.DEVNULL, stderr=out if both else err)
            if self._finish(process, args, _ANSWER_S) != 0:
                raise engine_errors.explain(
                    f"reading the log of {container}", _end_of(out if both else err, _SAID_BYTES)
                )
            text = _end_of(out if stdout else err, _MOST_BYTES)
        return [engine_errors.plain(line[:LINE]) for line in text.removesuffix("\n").split("\n")] if text else []

    def ports(self, container: str) -> frozenset[int]:
        """The ports of the engine's machine on which a container answers."""
        answer = self.run("port", container, timeout_s=_ANSWER_S, doing=f"asking for the ports of {container}")
        # 10000/tcp -> 0.0.0.0:10000, and for IPv6 10000/tcp -> [::]:10000 or :::10000
        return frozenset(int(line.rpartition(":")[2]) for line in answer.splitlines() if " -> " in line)

    def exec(self, container: str, *argv: str, timeout_s: float = _ANSWER_S) -> tuple[int, str]:
        """Run a program in a container: its exit status and standard output. RuntimeFault where it could not be run."""
        code, stdout, stderr = self._ask("exec", container, *argv, timeout_s=timeout_s)
        if code != 0 and stderr.startswith(("Error response from daemon", "Error: No such", "OCI runtime exec failed")):
            raise engine_errors.explain(f"running {argv[0]} in {container}", stderr)
        return code, stdout

    def open(self, *args: str) -> subprocess.Popen[bytes]:
        """`docker args` with both streams as pipes, in a session of its own; `end` it."""
        return self._process(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    # --- the command line

    def _ask(self, *args: str, given: str | None = None, timeout_s: float) -> tuple[int, str, str]:
        """Exit status, standard output and standard error. Files take them, so that nothing can block."""
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self._process(args, stdout=out, stderr=err, stdin=None if given is None else subprocess.PIPE)
            code = self._finish(process, args, timeout_s, given)
            if os.fstat(out.fileno()).st_size > _MOST_BYTES:
                raise engine_errors.not_docker(f"more than {_MOST_BYTES >> 20} MiB from {_named(args)}")
            return code, _end_of(out, _MOST_BYTES), _end_of(err, _SAID_BYTES)

    def _finish(
        self, process: subprocess.Popen[bytes], args: Sequence[str], timeout_s: float, given: str | None = None
    ) -> int:
        try:
            process.communicate(None if given is None else given.encode(), timeout_s)
        except subprocess.TimeoutExpired:
            raise engine_errors.silent(_named(args), timeout_s) from None
        finally:
            end(process)
        return process.returncode

    def _process(
        self, args: Sequence[str], *, stdout: IO[bytes] | int, stderr: IO[bytes] | int, stdin: int | None = None
    ) -> subprocess.Popen[bytes]:
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


def unavailable_reason(environ: Mapping[str, str] = os.environ) -> str | None:
    """Why Docker cannot be used here, in one line; None where it can. Raises nothing."""
    try:
        Engine.find(environ).check()
    except RuntimeFault as fault:
        return str(fault).partition("\n")[0]
    return None


def end(process: subprocess.Popen[bytes]) -> None:
    """End a command and its children, asked first, then not. Nothing where it has ended."""
    if process.poll() is not None:
        return
    for sign in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_KILL_S)


def _named(args: Sequence[str]) -> str:
    return f"docker {args[0]}"


def _end_of(file: IO[bytes], most: int) -> str:
    # Its writer may go on, at the position that we share with it: so it is read without moving that.
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), most, max(0, size - most)).decode(errors="replace")


def _lines(pipe: IO[bytes]) -> Iterator[str]:
    # A progress bar ends its lines with a carriage return, which counts as an end here.
    with io.TextIOWrapper(pipe, encoding="utf-8", errors="replace") as text:
        while line := text.readline(LINE):
            yield engine_errors.plain(line.rstrip("\n"))


# --- Docker's JSON, as far as it is read


class _Side(msgspec.Struct, rename="pascal"):
    version: str
    api_version: str


class _Version(msgspec.Struct, rename="pascal"):
    client: _Side
    server: _Side | None = None


class _Info(msgspec.Struct):
    os_type: str = msgspec.field(name="OSType", default="")
    ncpu: int = msgspec.field(name="NCPU", default=0)
    mem_total: int = msgspec.field(name="MemTotal", default=0)
    runtimes: dict[str, msgspec.Raw] | None = msgspec.field(name="Runtimes", default=None)
    security_options: list[str] | None = msgspec.field(name="SecurityOptions", default=None)
    server_errors: list[str] | None = msgspec.field(name="ServerErrors", default=None)


class _ImageConfig(msgspec.Struct, rename="pascal"):
    labels: dict[str, str] | None = None
    user: str = ""


class _Image(msgspec.Struct, rename="pascal"):
    id: str
    size: int = 0
    repo_digests: list[str] | None = None
    architecture: str = ""
    config: _ImageConfig | None = None


class _Check(msgspec.Struct, rename="pascal"):
    output: str = ""


class _Health(msgspec.Struct, rename="pascal"):
    status: str
    log: list[_Check] | None = None


class _State(msgspec.Struct, rename="pascal"):
    status: str
    pid: int
    exit_code: int
    started_at: datetime
    finished_at: datetime
    error: str = ""
    oom_killed: bool = msgspec.field(name="OOMKilled", default=False)
    health: _Health | None = None


class _ContainerConfig(msgspec.Struct, rename="pascal"):
    image: str
    labels: dict[str, str] | None = None


class _Inspected(msgspec.Struct, rename="pascal"):
    id: str
    name: str
    image: str
    state: _State
    config: _ContainerConfig
    restart_count: int = 0


_Shape = TypeVar("_Shape")


def _decoded(text: str, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(text, type=shape)
    except msgspec.MsgspecError as error:
        raise engine_errors.not_docker(str(error)) from error


def containers_of(answer: str) -> tuple[Container, ...]:
    """The containers of `docker inspect --format '{{json .}}'`, one a line; ordered by service and name."""
    found = [_container(_decoded(line, _Inspected)) for line in answer.splitlines() if line.strip()]
    return tuple(sorted(found, key=lambda each: (each.service, each.name)))


def _container(each: _Inspected) -> Container:
    state, labels = each.state, each.config.labels or {}
    # A container without a check has no health in some versions, and "none" in others.
    health = state.health if state.health is not None and state.health.status != "none" else None
    return Container(
        service=labels.get(_SERVICE_LABEL, ""),
        id=each.id,
        name=each.name.removeprefix("/"),
        state=state.status,
        exit_code=state.exit_code,
        health=None if health is None else health.status,
        check=" ".join(engine_errors.plain(line) for line in health.log[-1].output.splitlines())
        if health is not None and health.log
        else "",
        pid=state.pid or None,
        started_at=_epoch(state.started_at),
        finished_at=_epoch(state.finished_at),
        restarts=each.restart_count,
        oom_killed=state.oom_killed,
        error=engine_errors.plain(state.error),
        image=each.config.image,
        image_id=each.image,
        oneoff=labels.get(_ONEOFF_LABEL, "").lower() == "true",
        labels=labels,
    )


def _epoch(moment: datetime) -> float:
    # Docker writes the year 1 for never.
    return max(0.0, moment.timestamp())

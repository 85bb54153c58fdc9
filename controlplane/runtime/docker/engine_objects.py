"""Containers, images and the engine itself as values, decoded from Docker's JSON. Pure. Used by `engine`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

import msgspec

from controlplane.runtime.docker import engine_errors
from controlplane.runtime.docker.terminal_text import printable

_SERVICE_LABEL: Final = "com.docker.compose.service"
_ONEOFF_LABEL: Final = "com.docker.compose.oneoff"


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The engine. `version`: as Docker writes it, like 20.10.24+dfsg1. `api`: API version that both sides support."""

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
    """One container of a Compose project.

    `state`: created, running, paused, restarting, removing, exited or dead. `health`: starting, healthy or unhealthy;
    None without a health check. `check`: the last output of that check. `exit_code` is valid after the container ended.
    `started_at`, `finished_at`: seconds since the epoch, 0 for never. `error`: why the engine could not start it.
    `image`: as configured.
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
    """An image of the engine. `size`: bytes, shared layers included. `digests`: its names in registries."""

    id: str
    size: int
    labels: Mapping[str, str]
    digests: tuple[str, ...]
    architecture: str
    user: str


class _ComponentVersion(msgspec.Struct, rename="pascal"):
    version: str
    api_version: str


class _Version(msgspec.Struct, rename="pascal"):
    client: _ComponentVersion
    server: _ComponentVersion | None = None


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


def _decode(text: str, shape: type[_Shape]) -> _Shape:
    try:
        return msgspec.json.decode(text, type=shape)
    except msgspec.MsgspecError as error:
        raise engine_errors.not_docker(str(error)) from error


def decode_info(version_json: str, info_json: str) -> EngineInfo:
    """Decode `docker version` and `docker info`. RuntimeFault if no engine answered."""
    version, info = _decode(version_json, _Version), _decode(info_json, _Info)
    # `docker info` 20.10 succeeds without an engine, and reports the error in its output.
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


def decode_image(inspect_json: str) -> LocalImage:
    """Decode `docker image inspect --format '{{json .}}'`."""
    image = _decode(inspect_json, _Image)
    config = image.config or _ImageConfig()
    digests = tuple(image.repo_digests or ())
    return LocalImage(image.id, image.size, config.labels or {}, digests, image.architecture, config.user)


def decode_containers(inspect_json: str) -> tuple[Container, ...]:
    """Decode `docker inspect --format '{{json .}}'`, one container per line. Ordered by service and name."""
    containers = [_container(_decode(line, _Inspected)) for line in inspect_json.splitlines() if line.strip()]
    return tuple(sorted(containers, key=lambda each: (each.service, each.name)))


def _container(inspected: _Inspected) -> Container:
    state, labels = inspected.state, inspected.config.labels or {}
    # Without a health check, some versions omit the health, and others say "none".
    health = state.health if state.health is not None and state.health.status != "none" else None
    return Container(
        service=labels.get(_SERVICE_LABEL, ""),
        id=inspected.id,
        name=inspected.name.removeprefix("/"),
        state=state.status,
        exit_code=state.exit_code,
        health=None if health is None else health.status,
        check=" ".join(printable(line) for line in health.log[-1].output.splitlines()) if health and health.log else "",
        pid=state.pid or None,
        started_at=_epoch(state.started_at),
        finished_at=_epoch(state.finished_at),
        restarts=inspected.restart_count,
        oom_killed=state.oom_killed,
        error=printable(state.error),
        image=inspected.config.image,
        image_id=inspected.image,
        oneoff=labels.get(_ONEOFF_LABEL, "").lower() == "true",
        labels=labels,
    )


def _epoch(time: datetime) -> float:
    # Docker writes the year 1 for "never".
    return max(0.0, time.timestamp())

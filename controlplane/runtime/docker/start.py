"""A gateway of containers: Compose starts them from the files that are rendered for it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec

from controlplane.compile.model_plan import artefacts
from controlplane.compile.plans import Gateway
from controlplane.config.load import LoadedConfig
from controlplane.config.model_serving import Mode
from controlplane.errors import RuntimeFault
from controlplane.models.catalog import catalog
from controlplane.models.prepare import prepare
from controlplane.runtime import gpu, place, ports
from controlplane.runtime.commands import ENVOY, SAMPLE_API, TRITON, worker_name
from controlplane.runtime.docker import images
from controlplane.runtime.docker.compose import variant
from controlplane.runtime.docker.directory import write
from controlplane.runtime.docker.engine import Container, Engine, EngineInfo
from controlplane.runtime.docker.runner import DockerRunner
from controlplane.runtime.docker.site import container_site, elsewhere_note
from controlplane.runtime.docker.update import update
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import processes
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.readiness import Started, wait_ready
from controlplane.runtime.roles import RoleState
from controlplane.runtime.signals import signals_ignored
from controlplane.runtime.site import compile_at
from controlplane.runtime.state import State, save
from controlplane.runtime.stop import stop
from controlplane.runtime.wanted import Running, Wanted, state_of

_POLL_S: Final = 1.0
# Each look is two processes of Docker's command line.
_WATCH_S: Final = 3.0
_NO_NVIDIA: Final = (
    "the Docker engine has no NVIDIA runtime; install the NVIDIA container toolkit and run "
    "`sudo nvidia-ctk runtime configure --runtime=docker`, then restart the engine"
)


def start(loaded: LoadedConfig, wanted: Wanted, layout: RunLayout, say: Callable[[str], None]) -> Running:
    """Bring the containers up to what the configuration says, and wait until they answer.

    A gateway of this run directory that runs already goes on, but for what has changed. RuntimeFault where it does not
    come up; then nothing is left of one that was started from nothing.
    """
    runner = DockerRunner(layout)
    engine = runner.engine
    info = engine.check()
    gpu_name = _gpu(wanted.mode, info)
    site = container_site(wanted.mode, info.cpus, gpu_name, quick_start=wanted.quick_start, ipv6=ports.has_ipv6())
    gateway = compile_at(site, loaded, _NO_NVIDIA, say)
    if gateway.loopback_keys:
        say(elsewhere_note(gateway))
    layout.root.mkdir(parents=True, exist_ok=True)
    with place.locked(layout):
        _refuse_processes(layout)
        before = _running(engine, runner.project)
        _check_ports(engine, gateway, before)
        needed = images.wanted(variant(gateway.models), local=bool(gateway.models.names), registry=wanted.images)
        images.ensure(engine, needed, say, network=wanted.build_network)
        _look_for_models(gateway)
        try:
            write(gateway, layout, runner.project, needed, quick_start=wanted.quick_start, rootless=info.rootless)
            state = state_of(wanted, gateway, _parts(gateway, quick_start=wanted.quick_start))
            save(layout, state)
            if before:
                update(runner, wanted.deadline_s, _keys(gateway), say)
                roles = wait_ready(Started(runner, state, lambda: None), wanted.deadline_s, say)
            else:
                roles = _start(runner, state, gateway, wanted.deadline_s, say)
            state = msgspec.structs.replace(state, ready=True)
            save(layout, state)
        except BaseException:
            if not before:
                with signals_ignored():
                    stop(layout)
            raise
    return Running(state, roles, partial(_wait, runner))


def _start(
    runner: DockerRunner, state: State, gateway: Gateway, deadline_s: float, say: Callable[[str], None]
) -> tuple[RoleState, ...]:
    """From nothing. Compose itself waits between the containers, so it is watched as they are."""
    say("starting")
    with runner.engine.start(*runner.compose("up", "--detach", "--no-build", "--remove-orphans")) as command:

        def check() -> None:
            """RuntimeFault when Compose has given up, with the last lines of the container that it blames."""
            if command.poll():
                raise runner.engine.fault(
                    "starting the containers", command.said, project=runner.project, ports=_keys(gateway)
                )

        roles = wait_ready(Started(runner, state, check), deadline_s, say)
        # Envoy, which it starts last, has answered.
        while command.wait(_POLL_S) is None:
            say("waiting for Docker Compose")
        check()
    return roles


def _gpu(mode: Mode, info: EngineInfo) -> str | None:
    """The GPU that the engine can lend, by its name where this machine knows it. RuntimeFault where one is missed."""
    if mode is Mode.LOCAL_CPU:
        return None
    names = gpu.find(os.environ).names
    # An engine may lend one without that runtime too, by a hook or by CDI: where --local asks for it, it is tried.
    if "nvidia" in info.runtimes or (mode is Mode.LOCAL_GPU and names):
        return ", ".join(names) or "NVIDIA GPU"
    if mode is Mode.LOCAL_GPU:
        raise RuntimeFault(
            f"--local runs the models on a GPU: {_NO_NVIDIA}\nTo run them on the CPU: archgw up --local -cpu"
        )
    return None


def _refuse_processes(layout: RunLayout) -> None:
    """The same run directory cannot hold both kinds."""
    if NativeRunner(layout).parts() is not None:
        raise RuntimeFault(
            f"a gateway runs already in {layout.root}, without containers; stop it with `archgw down`, "
            "or choose another --run-dir"
        )
    processes.stop_all(layout.root, grace_s=5)


def _running(engine: Engine, project: str) -> list[Container]:
    """What of the project runs. Compose would not touch what somebody has paused, so that goes on first."""
    found = engine.containers(project)
    if paused := [each.id for each in found if each.state == "paused"]:
        engine.run("unpause", *paused, doing="letting paused containers go on")
        found = engine.containers(project)
    return [each for each in found if each.running]


def _check_ports(engine: Engine, gateway: Gateway, before: list[Container]) -> None:
    """Before anything is built, or an Envoy that runs is given up for one that cannot. Its own ports are its own."""
    own = {port for each in before if each.service == ENVOY for port in engine.ports(each.id)}
    for listener in gateway.envoy.listeners:
        for address in listener.published:
            if address.port not in own:
                ports.check_free(address.host, address.port, _key(listener.name), by_engine=True)


def _key(listener: str) -> str:
    return f"listeners.{listener}.port"


def _keys(gateway: Gateway) -> dict[int, str]:
    return {listener.address.port: _key(listener.name) for listener in gateway.envoy.listeners}


def _look_for_models(gateway: Gateway) -> None:
    """Those that no image brings: of a hub, or a folder of this machine. ModelError where one is not here."""
    known = catalog().artefacts
    names = dict.fromkeys(name for model in gateway.models.models for name in artefacts(model))
    if others := tuple(name for name in names if known[name].package is None):
        prepare(others)


def _parts(gateway: Gateway, *, quick_start: bool) -> tuple[str, ...]:
    return (
        *((TRITON,) if gateway.models.names else ()),
        *((SAMPLE_API,) if quick_start else ()),
        *(worker_name(index) for index in gateway.envoy.worker_indices),
        ENVOY,
    )


def _wait(runner: DockerRunner) -> int:
    """Until the containers are gone, which is only when they were told to be: 0.

    An engine that is busy, or started anew, does not answer for a while: no reason to stop what it runs.
    """
    while True:
        with contextlib.suppress(RuntimeFault):
            if runner.parts() is None:
                return 0
        time.sleep(_WATCH_S)

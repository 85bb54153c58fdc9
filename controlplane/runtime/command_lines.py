"""Command lines of Envoy, the filter's workers and Triton, the same in both runtimes. Pure."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final
from urllib.parse import quote

from controlplane.compile.plans import EnvoyPlan, ModelPlan
from controlplane.render.run_layout import RunLayout

TRITON: Final = "triton"
ENVOY: Final = "envoy"
SAMPLE_API: Final = "weather-api"

# Limit of Triton's wait for its models on exit. It is reached when the process of a model has died.
_EXIT_TIMEOUT_S: Final = 3

_UNIX: Final = "unix:"
# Triton serves a restricted API only to requests with a header of a given name. No request can have these names: in
# HTTP/1 a name ends at the colon, and HTTP/2 allows no capital letters.
_IMPOSSIBLE_HTTP_HEADER: Final = ":closed"
_IMPOSSIBLE_METADATA_KEY: Final = "CLOSED"
_RESTRICTED_APIS: Final = "shared-memory,trace,logging"
# Envoy is the only HTTP client, and needs none of these.
_RESTRICTED_HTTP_APIS: Final = "model-repository,model-config,statistics"

_WORKER: Final = "extproc-"


def worker_name(index: int) -> str:
    return f"{_WORKER}{index}"


def is_worker(service: str) -> bool:
    return service.startswith(_WORKER)


def worker_indices(services: Iterable[str]) -> tuple[int, ...]:
    """Return the sorted indices of the filter's workers among the service names."""
    return tuple(sorted(int(service.removeprefix(_WORKER)) for service in services if is_worker(service)))


def envoy_arguments(plan: EnvoyPlan, layout: RunLayout) -> tuple[str, ...]:
    """Return Envoy's arguments. Its own log goes to stderr, the access log to stdout."""
    return (
        "-c",
        str(layout.bootstrap),
        # Without it, Envoy ignores a misspelt field in an xDS file.
        "--reject-unknown-dynamic-fields",
        # With hot restart, all gateways of a machine would share one shared-memory region.
        "--disable-hot-restart",
        # One thread per filter worker: a request costs Envoy as much CPU as a worker. On two cores, two threads carry
        # 40 % more than one (docs/benchmarks.md).
        "--concurrency",
        str(plan.workers),
        # By default, Envoy writes the access log every ten seconds.
        "--file-flush-interval-msec",
        "1000",
        # At level info, Envoy logs a page about its build at every start.
        "--log-level",
        "warning",
        # Envoy's default format plus the time zone, because its times are local.
        "--log-format",
        "[%Y-%m-%dT%T.%e%z][%t][%l][%n] [%g:%#] %v",
    )


def worker_arguments(plan: EnvoyPlan, layout: RunLayout, index: int) -> tuple[str, ...]:
    """Return the arguments of `python` for a filter worker. -P: imports nothing from the run directory."""
    return (
        *("-P", "-m", "extproc"),
        *("--config", str(layout.filter_config), "--socket", str(layout.worker_socket(index))),
        *(("--low-priority",) if index == plan.large_worker else ()),
    )


def triton_arguments(
    plan: ModelPlan, layout: RunLayout, *, backends: Path | None = None, shm_prefix: str | None = None
) -> tuple[str, ...]:
    """Return Triton's arguments: it loads exactly the models of the plan, and listens on unix sockets only.

    A client that may load a model can run code as Triton's user. So the sockets are in a folder that no other user may
    enter. Unused APIs are off: metrics, shared memory, trace and log settings; over HTTP, which only Envoy uses, all
    but health, metadata and inference.

    `backends`: backend directory, if not the server's own. `shm_prefix`: prefix of Triton's files in /dev/shm.
    """
    grpc, _, port = str(layout.triton_grpc).rpartition(":")
    return (
        f"--model-repository={layout.models}",
        *(() if backends is None else (f"--backend-directory={backends}",)),
        *(() if shm_prefix is None else (f"--backend-config=python,shm-region-prefix-name={shm_prefix}",)),
        # Explicit, so that the filter can reload a model whose process died.
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in plan.names),
        # Our model configurations are complete. With auto-completion, Triton would start each model's process twice.
        "--disable-auto-complete-config",
        f"--http-address={_UNIX}{layout.triton_http}",
        f"--http-restricted-api={_RESTRICTED_APIS},{_RESTRICTED_HTTP_APIS}:{_IMPOSSIBLE_HTTP_HEADER}=closed",
        # gRPC parses the address as a URI.
        f"--grpc-address={_UNIX}{quote(os.fsencode(grpc))}",
        f"--grpc-port={port}",
        f"--grpc-restricted-protocol={_RESTRICTED_APIS}:{_IMPOSSIBLE_METADATA_KEY}=closed",
        "--allow-metrics=false",
        f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
    )

"""The command lines of a gateway's parts, the same for every runtime: what each is told, whoever starts it. Pure."""

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

# A server whose model process has died waits this long before it ends.
_EXIT_TIMEOUT_S: Final = 3

_UNIX: Final = "unix:"
# Triton opens what it restricts to requests with a header of a given name and value. These names no request can have:
# HTTP ends a name at the colon, and HTTP/2 knows no capital letters.
_NO_HTTP_HEADER: Final = ":closed"
_NO_METADATA: Final = "CLOSED"
_CLOSED: Final = "shared-memory,trace,logging"
_CLOSED_TO_ENVOY: Final = "model-repository,model-config,statistics"

_WORKER: Final = "extproc-"


def worker_name(index: int) -> str:
    return f"{_WORKER}{index}"


def is_worker(part: str) -> bool:
    return part.startswith(_WORKER)


def worker_indices(parts: Iterable[str]) -> tuple[int, ...]:
    """Of the workers among `parts`."""
    return tuple(sorted(int(part.removeprefix(_WORKER)) for part in parts if is_worker(part)))


def envoy_arguments(plan: EnvoyPlan, layout: RunLayout) -> tuple[str, ...]:
    """After the program's name. Envoy's own lines go to stderr, the access log to stdout."""
    return (
        "-c",
        str(layout.bootstrap),
        # Without it a misspelt field in an xDS file would be ignored in silence.
        "--reject-unknown-dynamic-fields",
        # Hot restart would make every gateway of a machine share one shared-memory region.
        "--disable-hot-restart",
        # One thread a worker: a request costs Envoy no less than a worker. On two cores two threads carry 40 % more
        # than one (docs/benchmarks.md).
        "--concurrency",
        str(plan.workers),
        # The access log, which Envoy would hold back for ten seconds.
        "--file-flush-interval-msec",
        "1000",
        # Below it, a page of its own build at every start.
        "--log-level",
        "warning",
        # Its own, with the zone: its times are local ones.
        "--log-format",
        "[%Y-%m-%dT%T.%e%z][%t][%l][%n] [%g:%#] %v",
    )


def worker_arguments(plan: EnvoyPlan, layout: RunLayout, index: int) -> tuple[str, ...]:
    """After `python`. -P: the run directory is no place to import from."""
    return (
        *("-P", "-m", "extproc"),
        *("--config", str(layout.filter_config), "--socket", str(layout.worker_socket(index))),
        *(("--low-priority",) if index == plan.large_worker else ()),
    )


def triton_arguments(
    plan: ModelPlan, layout: RunLayout, *, backends: Path | None = None, shm_prefix: str | None = None
) -> tuple[str, ...]:
    """After the program's name: exactly the models of the plan, on unix sockets alone.

    Whoever may load a model runs code as Triton's user, so the sockets lie in a folder that is closed to all others.
    What nothing here uses is off: metrics; shared memory, trace and log settings; over HTTP, which only Envoy speaks,
    everything but health, metadata and inference.

    `backends`: a backend directory that is not the server's own; `shm_prefix`: what its names in a /dev/shm that it
    shares with others begin with.
    """
    grpc, _, port = str(layout.triton_grpc).rpartition(":")
    return (
        f"--model-repository={layout.models}",
        *(() if backends is None else (f"--backend-directory={backends}",)),
        *(() if shm_prefix is None else (f"--backend-config=python,shm-region-prefix-name={shm_prefix}",)),
        # Explicit, so that the filter can load a model again that is lost.
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in plan.names),
        # Our configurations are complete; to complete one, Triton would start each model's process twice.
        "--disable-auto-complete-config",
        f"--http-address={_UNIX}{layout.triton_http}",
        f"--http-restricted-api={_CLOSED},{_CLOSED_TO_ENVOY}:{_NO_HTTP_HEADER}=closed",
        # gRPC reads its address as a URI.
        f"--grpc-address={_UNIX}{quote(os.fsencode(grpc))}",
        f"--grpc-port={port}",
        f"--grpc-restricted-protocol={_CLOSED}:{_NO_METADATA}=closed",
        "--allow-metrics=false",
        f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
    )

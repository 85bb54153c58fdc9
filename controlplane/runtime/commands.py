"""The command lines of a gateway's parts, the same for every runtime: what each is told, whoever starts it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from controlplane.compile.plans import Device, EnvoyPlan, ModelPlan
from controlplane.runtime.layout import RunLayout

TRITON: Final = "triton"
ENVOY: Final = "envoy"
SAMPLE_API: Final = "weather-api"

# A server whose model process has died waits this long before it ends.
_EXIT_TIMEOUT_S: Final = 3


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
        # One thread for two workers: a request costs a worker twice what it costs Envoy, and fewer threads mean
        # fuller connections between them. On two cores one thread carries a quarter more than two.
        "--concurrency",
        str((plan.workers + 1) // 2),
        # The access log, which Envoy would hold back for ten seconds.
        "--file-flush-interval-msec",
        "1000",
        # Below it, a page of its own build at every start.
        "--log-level",
        "warning",
    )


def worker_arguments(layout: RunLayout, index: int) -> tuple[str, ...]:
    """After `python`. -P: the run directory is no place to import from."""
    return (
        *("-P", "-m", "extproc"),
        *("--contract", str(layout.contract), "--socket", str(layout.worker_socket(index))),
    )


def triton_arguments(
    plan: ModelPlan, layout: RunLayout, address: str, *, backends: Path | None = None, shm_prefix: str | None = None
) -> tuple[str, ...]:
    """After the program's name: exactly the models of the plan, on `address`.

    `backends`: a backend directory that is not the server's own; `shm_prefix`: what its names in a /dev/shm that it
    shares with others begin with.
    """
    ports = plan.ports
    on_gpu = any(model.device is Device.GPU for model in plan.models) or any(model.on_gpu for model in plan.own)
    return (
        f"--model-repository={layout.models}",
        *(() if backends is None else (f"--backend-directory={backends}",)),
        *(() if shm_prefix is None else (f"--backend-config=python,shm-region-prefix-name={shm_prefix}",)),
        # Explicit, so that the filter can reload a model whose process died.
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in plan.names),
        # Our configurations are complete; to complete one, Triton would start each model's process twice.
        "--disable-auto-complete-config",
        f"--http-address={address}",
        f"--http-port={ports.http}",
        f"--grpc-address={address}",
        f"--grpc-port={ports.grpc}",
        f"--metrics-address={address}",
        f"--metrics-port={ports.metrics}",
        # Without a GPU, Triton would complain of each of its figures.
        *(() if on_gpu else ("--allow-gpu-metrics=false",)),
        f"--exit-timeout-secs={_EXIT_TIMEOUT_S}",
    )

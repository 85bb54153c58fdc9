"""Describes containers as a TargetEnvironment: paths and addresses inside them. Starts nothing."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from controlplane.compile.plans import Address, Gateway, Loopback, TargetEnvironment
from controlplane.config.model_serving import Mode
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.command_lines import SAMPLE_API
from controlplane.runtime.start_options import SAMPLE_API_PORT
from controlplane.runtime.target_environment import triton_sockets

# Where the files of the run directory are mounted in the containers.
CONTAINER_LAYOUT: Final = RunLayout(Path("/run/archgw"))

_WILDCARD: Final = "0.0.0.0"  # noqa: S104 - in the containers' network; the configuration sets the published address
_LISTEN_ADDRESSES: Final = {"ingress": Address(_WILDCARD, 10_000), "egress": Address(_WILDCARD, 12_000)}
_HOST: Final = "host.docker.internal"
_REACH: Final = (
    "in containers, this machine; a server that listens on 127.0.0.1 or ::1 alone is out of their reach: "
    "let it listen on 0.0.0.0 too"
)


def container_environment(
    mode: Mode, workers: int, gpu: str | None, *, quick_start: bool = False, ipv6: bool = True
) -> TargetEnvironment:
    """Return the target environment. `workers`: cores of the engine's machine. `gpu`: name of a usable GPU, or None.

    `ipv6`: the engine can publish ports at `::1`. `quick_start`: the sample API is a container too.
    """
    services = {SAMPLE_API_PORT: Address(SAMPLE_API, SAMPLE_API_PORT)} if quick_start else {}
    return TargetEnvironment(
        triton=triton_sockets(CONTAINER_LAYOUT),
        workers=workers,
        internal_socket=str(CONTAINER_LAYOUT.internal_socket),
        reload_lock=str(CONTAINER_LAYOUT.reload_lock),
        mode=mode,
        gpu=gpu,
        vllm=gpu is not None,
        loopback=Loopback(_HOST, services),
        listen_addresses=_LISTEN_ADDRESSES,
        ipv6=ipv6,
    )


def loopback_note(gateway: Gateway) -> str:
    """Return the note about keys that name localhost (`gateway.loopback_keys`)."""
    return f"note: {', '.join(gateway.loopback_keys)}: {_REACH}"


def project_name(layout: RunLayout) -> str:
    """Return the name of the Compose project: one per run directory, so also one per user."""
    return f"archgw-{hashlib.sha256(bytes(layout.root)).hexdigest()[:8]}"

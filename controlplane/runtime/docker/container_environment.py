"""Containers as compilation and rendering must know them: where files lie in them, what listens where. Names only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from controlplane.compile.plans import Address, Gateway, Loopback, Mode, TargetEnvironment
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.command_lines import SAMPLE_API
from controlplane.runtime.start_options import SAMPLE_API_PORT
from controlplane.runtime.target_environment import triton_sockets

# Where the run directory's files are mounted, in every container that reads some of them.
CONTAINER_LAYOUT: Final = RunLayout(Path("/run/archgw"))

_EVERY: Final = "0.0.0.0"  # noqa: S104 - of a network of containers; published is what the file says
_LISTEN_ADDRESSES: Final = {"ingress": Address(_EVERY, 10_000), "egress": Address(_EVERY, 12_000)}
_HOST: Final = "host.docker.internal"
_REACH: Final = (
    "in containers, this machine; a server that listens on 127.0.0.1 or ::1 alone is out of their reach: "
    "let it listen on 0.0.0.0 too"
)


def container_environment(
    mode: Mode, workers: int, gpu: str | None, *, quick_start: bool = False, ipv6: bool = True
) -> TargetEnvironment:
    """`workers`: cores of the engine's machine. `gpu`: the name of one that the engine can lend, None without one.
    `ipv6`: whether it can publish ports at `::1`.

    With the quick start, its sample API is a container too.
    """
    services = {SAMPLE_API_PORT: Address(SAMPLE_API, SAMPLE_API_PORT)} if quick_start else {}
    return TargetEnvironment(
        triton=triton_sockets(CONTAINER_LAYOUT),
        workers=workers,
        internal_socket=str(CONTAINER_LAYOUT.internal_socket),
        repair_lock=str(CONTAINER_LAYOUT.repair_lock),
        mode=mode,
        gpu=gpu,
        vllm=gpu is not None,
        loopback=Loopback(_HOST, services),
        listen_addresses=_LISTEN_ADDRESSES,
        ipv6=ipv6,
    )


def loopback_note(gateway: Gateway) -> str:
    """What people must know of the keys in `gateway.elsewhere`."""
    return f"note: {', '.join(gateway.elsewhere)}: {_REACH}"


def project_name(layout: RunLayout) -> str:
    """The Compose project of a run directory: one each, also of two users whose default ones are theirs."""
    return f"archgw-{hashlib.sha256(bytes(layout.root)).hexdigest()[:8]}"

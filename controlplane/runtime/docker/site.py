"""Containers as compilation and rendering must know them: where files lie in them, what listens where. Names only."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from controlplane.compile.plans import Address, Gateway, Loopback, Site
from controlplane.config.model_serving import Mode
from controlplane.runtime.commands import SAMPLE_API
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.site import triton_sockets
from controlplane.runtime.wanted import SAMPLE_API_PORT

# Where the run directory's files are mounted, in every container that reads some of them.
INSIDE: Final = RunLayout(Path("/run/archgw"))

_EVERY: Final = "0.0.0.0"  # noqa: S104 - of a network of containers; published is what the file says
_DOORS: Final = {"ingress": Address(_EVERY, 10_000), "egress": Address(_EVERY, 12_000)}
_HOST: Final = "host.docker.internal"
_REACH: Final = (
    "in containers, this machine; a server that listens on 127.0.0.1 or ::1 alone is out of their reach: "
    "let it listen on 0.0.0.0 too"
)


def container_site(mode: Mode, workers: int, gpu: str | None, *, quick_start: bool = False, ipv6: bool = True) -> Site:
    """`workers`: cores of the engine's machine. `gpu`: the name of one that the engine can lend, None without one.
    `ipv6`: whether it can publish ports at `::1`.

    With the quick start, its sample API is a container too.
    """
    services = {SAMPLE_API_PORT: Address(SAMPLE_API, SAMPLE_API_PORT)} if quick_start else {}
    return Site(
        triton=triton_sockets(INSIDE),
        workers=workers,
        internal_socket=str(INSIDE.internal_socket),
        repair_lock=str(INSIDE.repair_lock),
        mode=mode,
        gpu=gpu,
        vllm=gpu is not None,
        loopback=Loopback(_HOST, services),
        doors=_DOORS,
        ipv6=ipv6,
    )


def elsewhere_note(gateway: Gateway) -> str:
    """What people must know of the keys in `gateway.loopback_keys`."""
    return f"note: {', '.join(gateway.loopback_keys)}: {_REACH}"


def project_name(layout: RunLayout) -> str:
    """The Compose project of a run directory: one each, also of two users whose default ones are theirs."""
    return f"archgw-{hashlib.sha256(bytes(layout.root)).hexdigest()[:8]}"

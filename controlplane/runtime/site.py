"""The place where a gateway will run as compilation must know it, and a configuration compiled for it."""

from __future__ import annotations

import os
from collections.abc import Callable

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import Gateway, Mode, Site, TritonSockets
from controlplane.config.load import Loaded
from controlplane.runtime import gpu, memory, ports
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import triton
from extproc.shared.filter_config import Place
from extproc.shared.roles import Purpose, roles_of


def compile_here(loaded: Loaded, layout: RunLayout, mode: Mode, say: Callable[[str], None]) -> Gateway:
    """For processes of this machine.

    RuntimeFault where `mode` needs a GPU that is not here, UsageError where it needs what the file does not say.
    """
    found = gpu.Found() if mode is Mode.LOCAL_CPU else gpu.find(os.environ)
    site = Site(
        triton=triton_sockets(layout),
        workers=len(os.sched_getaffinity(0)),
        internal_socket=str(layout.internal_socket),
        repair_lock=str(layout.repair_lock),
        mode=mode,
        gpu=gpu.decide(mode, found),
        vllm=triton.has_vllm(),
        ipv6=ports.has_ipv6(),
        max_heap_bytes=memory.envoy_heap(memory.available()),
    )
    return compile_at(site, loaded, found.missing, say)


def triton_sockets(layout: RunLayout) -> TritonSockets:
    return TritonSockets(http=str(layout.triton_http), grpc=str(layout.triton_grpc))


def compile_at(site: Site, loaded: Loaded, no_gpu: str, say: Callable[[str], None]) -> Gateway:
    """`say` hears once where intent runs on the CPU though a GPU would have been preferred; `no_gpu` says why."""
    gateway = compile_gateway(loaded.config, site, loaded.own)
    intent_is_local = any(
        each.place is Place.LOCAL and each.role in roles_of(Purpose.INTENT) for each in gateway.places
    )
    if site.mode is Mode.REMOTE and site.gpu is None and intent_is_local:
        say(f"note: intent runs on this machine's CPU: {no_gpu}")
    return gateway

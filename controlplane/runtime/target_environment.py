"""Describes this machine as a TargetEnvironment, and compiles a configuration for a target environment."""

from __future__ import annotations

import os
from collections.abc import Callable

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import Gateway, TargetEnvironment, TritonSockets
from controlplane.config.load import LoadedConfig
from controlplane.config.model_serving import Mode
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import gpu, memory_limit, ports
from controlplane.runtime.native import triton_install
from extproc.shared.filter_config import Place
from extproc.shared.roles import Purpose, roles_of


def compile_native(loaded: LoadedConfig, layout: RunLayout, mode: Mode, say: Callable[[str], None]) -> Gateway:
    """Compile for processes of this machine.

    RuntimeFault if `mode` needs a GPU and none is usable; UsageError if it needs a key that the file lacks.
    """
    detection = gpu.GpuDetection() if mode is Mode.LOCAL_CPU else gpu.detect(os.environ)
    environment = TargetEnvironment(
        triton=triton_sockets(layout),
        workers=len(os.sched_getaffinity(0)),
        internal_socket=str(layout.internal_socket),
        reload_lock=str(layout.reload_lock),
        mode=mode,
        gpu=gpu.choose(mode, detection),
        vllm=triton_install.has_vllm(),
        ipv6=ports.has_ipv6(),
        max_heap_bytes=memory_limit.envoy_heap_bytes(memory_limit.available_bytes()),
    )
    return compile_for(environment, loaded, detection.missing, say)


def triton_sockets(layout: RunLayout) -> TritonSockets:
    return TritonSockets(http=str(layout.triton_http), grpc=str(layout.triton_grpc))


def compile_for(
    environment: TargetEnvironment, loaded: LoadedConfig, no_gpu: str, say: Callable[[str], None]
) -> Gateway:
    """Compile for `environment`. Notes with `say` if intent runs on the CPU for lack of a GPU; `no_gpu`: the reason."""
    gateway = compile_gateway(loaded.config, environment, loaded.custom_models)
    intent_is_local = any(
        each.place is Place.LOCAL and each.role in roles_of(Purpose.INTENT) for each in gateway.places
    )
    if environment.mode is Mode.REMOTE and environment.gpu is None and intent_is_local:
        say(f"note: intent runs on this machine's CPU: {no_gpu}")
    return gateway

"""Starts the real Triton with the models of a plan, sends inference requests and measures loads."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import quote

import numpy as np
import tritonclient.grpc as client
from tritonclient.utils import InferenceServerException

from bench.gpu.prompts import request, texts
from bench.gpu.report import Cell, FloatArray
from bench.processes import running
from controlplane.compile.model_plan import artefacts
from controlplane.compile.plans import Device, ModelInstance, ModelPlan
from controlplane.models.catalog import catalog
from controlplane.models.prepare import prepare
from controlplane.render.model_repository import render_repository
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import environment, triton

# A large model is read and its kernels are compiled before vLLM is ready.
_READY_S: Final = 600.0
_MAX_BATCH: Final = 64
_WARM_UP: Final = 3
_OUTPUTS: Final = {"embed": ("TEXT", "EMBEDDING"), "guard": ("TEXT", "PROB"), "function": ("REQUEST", "RESPONSE")}
COMPUTE_NS: Final = "COMPUTE_NS"


def instances(roles: Sequence[str], device: Device, function: str | None) -> tuple[ModelInstance, ...]:
    """Returns the instances of the roles: one process each on a GPU, one a core on the CPU.

    `function`: the catalogue entry for the role function, None for the default.
    """
    processes = 1 if device is Device.GPU else len(os.sched_getaffinity(0))
    models = [ModelInstance(role, role, processes, _MAX_BATCH, device=device) for role in roles if role != "function"]
    if "function" in roles:
        on_vllm = function is not None and catalog().artefacts[function].engine == "vllm"
        function_device, behind = (Device.GPU, "function_vllm") if on_vllm else (Device.CPU, None)
        models.append(ModelInstance("function", "function", 1, 1, function, function_device, behind=behind))
    return tuple(models)


@contextlib.contextmanager
def started(models: Sequence[ModelInstance], scratch: Path) -> Iterator[client.InferenceServerClient]:
    """Starts Triton and yields a client once all models are ready."""
    prepare(tuple(dict.fromkeys(name for model in models for name in artefacts(model))))
    plan = ModelPlan(tuple(models))
    layout, install = RunLayout(scratch / "triton"), triton.find_triton()
    for path, text in render_repository(plan).items():
        (layout.models / path).parent.mkdir(parents=True, exist_ok=True)
        (layout.models / path).write_text(text, encoding="utf-8")
    triton.build_backend(install, layout)
    layout.triton_sockets.mkdir(mode=0o700)
    variables = triton.environment(install, environment.clean(os.environ, str(layout.root)))
    triton_client = client.InferenceServerClient(f"unix:{quote(os.fsencode(layout.triton_grpc))}")

    def ready() -> None:
        try:
            waiting = [name for name in plan.names if not triton_client.is_model_ready(name)]
        except InferenceServerException as error:
            raise OSError(str(error)) from error
        if waiting:
            raise OSError(f"{', '.join(waiting)} not loaded")

    log = scratch / "triton.log"
    with running(triton.argv(install, plan, layout), log, ready=ready, seconds=_READY_S, env=variables):
        yield triton_client
    triton_client.close()


def infer(triton_client: client.InferenceServerClient, role: str, items: Sequence[str]) -> tuple[FloatArray, int]:
    """Returns the role's output, and the nanoseconds of the model's computation."""
    name, output = _OUTPUTS[role]
    tensor = client.InferInput(name, [len(items), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([item.encode() for item in items], dtype=np.object_).reshape(-1, 1))
    outputs = [client.InferRequestedOutput(each) for each in (output, COMPUTE_NS)]
    result = triton_client.infer(role, [tensor], outputs=outputs)
    return result.as_numpy(output), int(result.as_numpy(COMPUTE_NS).max())


def load(triton_client: client.InferenceServerClient, role: str, tokens: int, batch: int, seconds: float) -> Cell:
    """Sends requests one after the other for `seconds`, at least one.

    A batch is one request with many texts. The role `function` takes one text at a time: its batch is many requests
    at once.
    """
    times: list[float] = []
    with ThreadPoolExecutor(batch) as pool:
        ends = time.perf_counter() + seconds
        seed = -_WARM_UP
        while seed <= 0 or time.perf_counter() < ends:
            items = texts(batch, tokens, seed)
            started_at = time.perf_counter()
            if role == "function":
                list(pool.map(lambda text: infer(triton_client, role, [request(text)]), items))
            else:
                infer(triton_client, role, items)
            if seed >= 0:
                times.append(time.perf_counter() - started_at)
            else:
                ends = time.perf_counter() + seconds
            seed += 1
    return Cell(tokens, batch, tuple(times))

"""The real Triton with the models of a plan, and how it is asked."""

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

from bench.gpu.figures import Cell, FloatArray
from bench.gpu.texts import request, texts
from bench.processes import running
from controlplane.compile.models import artefacts
from controlplane.compile.plans import Device, ModelInstance, ModelPlan
from controlplane.models.catalog import catalog
from controlplane.models.prepare import prepare
from controlplane.models.repository import render_repository
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native import environment_variables, triton_install

# A large model is read and its kernels are compiled before vLLM is ready.
_READY_S: Final = 600.0
_MOST_TEXTS: Final = 64
_WARM_UP: Final = 3
_OUTPUTS: Final = {"embed": ("TEXT", "EMBEDDING"), "guard": ("TEXT", "PROB"), "function": ("REQUEST", "RESPONSE")}
COMPUTE_NS: Final = "COMPUTE_NS"


def instances(roles: Sequence[str], device: Device, function: str | None) -> tuple[ModelInstance, ...]:
    """One process a role on a GPU, as many as there are cores on the CPU; `function`: the catalogue's entry for it."""
    readers = 1 if device is Device.GPU else len(os.sched_getaffinity(0))
    models = [ModelInstance(role, role, readers, _MOST_TEXTS, device=device) for role in roles if role != "function"]
    if "function" in roles:
        on_vllm = function is not None and catalog().artefacts[function].engine == "vllm"
        place, behind = (Device.GPU, "function_vllm") if on_vllm else (Device.CPU, None)
        models.append(ModelInstance("function", "function", 1, 1, function, place, behind=behind))
    return tuple(models)


@contextlib.contextmanager
def started(models: Sequence[ModelInstance], scratch: Path) -> Iterator[client.InferenceServerClient]:
    """From when every model is ready."""
    prepare(tuple(dict.fromkeys(name for model in models for name in artefacts(model))))
    plan = ModelPlan(tuple(models))
    layout, install = RunLayout(scratch / "triton"), triton_install.find_triton()
    for path, text in render_repository(plan).items():
        (layout.models / path).parent.mkdir(parents=True, exist_ok=True)
        (layout.models / path).write_text(text, encoding="utf-8")
    triton_install.build_backend(install, layout)
    layout.triton_sockets.mkdir(mode=0o700)
    variables = triton_install.environment(
        install, environment_variables.service_environment(os.environ, str(layout.root))
    )
    asked = client.InferenceServerClient(f"unix:{quote(os.fsencode(layout.triton_grpc))}")

    def ready() -> None:
        try:
            waiting = [name for name in plan.names if not asked.is_model_ready(name)]
        except InferenceServerException as error:
            raise OSError(str(error)) from error
        if waiting:
            raise OSError(f"{', '.join(waiting)} not loaded")

    log = scratch / "triton.log"
    with running(
        triton_install.launcher_command(install, plan, layout), log, ready=ready, seconds=_READY_S, env=variables
    ):
        yield asked
    asked.close()


def ask(asked: client.InferenceServerClient, role: str, items: Sequence[str]) -> tuple[FloatArray, int]:
    """The role's output, and for how many nanoseconds the model computed."""
    name, output = _OUTPUTS[role]
    tensor = client.InferInput(name, [len(items), 1], "BYTES")
    tensor.set_data_from_numpy(np.array([item.encode() for item in items], dtype=np.object_).reshape(-1, 1))
    wanted = [client.InferRequestedOutput(each) for each in (output, COMPUTE_NS)]
    result = asked.infer(role, [tensor], outputs=wanted)
    return result.as_numpy(output), int(result.as_numpy(COMPUTE_NS).max())


def load(asked: client.InferenceServerClient, role: str, tokens: int, batch: int, seconds: float) -> Cell:
    """One request after the other for so long, at least one.

    A batch is one request of many texts; of the role `function`, which takes one at a time, many requests at once.
    """
    times: list[float] = []
    with ThreadPoolExecutor(batch) as pool:
        ends = time.perf_counter() + seconds
        seed = -_WARM_UP
        while seed <= 0 or time.perf_counter() < ends:
            items = texts(batch, tokens, seed)
            begun = time.perf_counter()
            if role == "function":
                list(pool.map(lambda text: ask(asked, role, [request(text)]), items))
            else:
                ask(asked, role, items)
            if seed >= 0:
                times.append(time.perf_counter() - begun)
            else:
                ends = time.perf_counter() + seconds
            seed += 1
    return Cell(tokens, batch, tuple(times))

"""Opens the ONNX graph of a model's folder, on the CPU or on a GPU. Used by the models that onnxruntime runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime  # type: ignore[import-untyped]

FloatArray = npt.NDArray[np.float32]


def open_session(directory: Path, threads: int, gpu: int | None = None) -> onnxruntime.InferenceSession:
    """Opens the folder's one ONNX graph, on the CPU with `threads` threads, or on the GPU with the device id `gpu`.

    Raises RuntimeError if the installed onnxruntime cannot use the GPU. onnxruntime itself would use the CPU, with only
    a line in its log.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Idle threads must not spin: other models use the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(str(graph(directory)), options, providers=_providers(gpu))
    if gpu is not None and "CUDAExecutionProvider" not in session.get_providers():
        raise RuntimeError("onnxruntime finds no GPU, or not its CUDA and cuDNN: pip install 'archgw[gpu]' brings them")
    return session


def _providers(gpu: int | None) -> list[Any]:
    if gpu is None:
        return ["CPUExecutionProvider"]
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise RuntimeError(
            "this onnxruntime is built for CPUs alone; replace it: "
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'archgw[gpu]'"
        )
    # The loader does not find CUDA and cuDNN where pip installs them.
    onnxruntime.preload_dlls()
    # Memory grows by the requested size. By default it doubles, and other models share the GPU.
    cuda = ("CUDAExecutionProvider", {"device_id": gpu, "arena_extend_strategy": "kSameAsRequested"})
    return [cuda, "CPUExecutionProvider"]  # the CPU computes shapes, and the few operators that CUDA lacks


def graph(directory: Path) -> Path:
    """Returns the path of the graph, which lies beside the tokenizer or in a folder below."""
    found = sorted(directory.rglob("*.onnx"))
    if len(found) != 1:
        raise ValueError(f"{directory} must hold one ONNX graph, not {len(found)}")
    return found[0]

"""Is there an NVIDIA GPU that models can run on? `find` asks NVML, a library of NVIDIA's driver; `decide` is pure."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controlplane.config.model_serving import Mode
from controlplane.errors import RuntimeFault

# CUDA's own choice among the devices of a machine. NVML knows nothing of it.
VISIBLE: Final = "CUDA_VISIBLE_DEVICES"
_CUDA_PROVIDER: Final = "CUDAExecutionProvider"
# Docker's mark of a container, and Podman's.
_CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))


@dataclass(frozen=True, slots=True)
class Found:
    """What this machine has. `names`: every GPU that CUDA may use; `fault`: why there is none.

    `cuda`: whether onnxruntime, which most models run on, can compute on a GPU.
    """

    names: tuple[str, ...] = ()
    fault: str = ""
    cuda: bool = False
    container: bool = False

    @property
    def usable(self) -> str | None:
        """What the models would run on, in words; None where they cannot."""
        return self._words if self.names and self.cuda else None

    @property
    def missing(self) -> str:
        """Why nothing is usable, and what would change that."""
        if self.names:
            return (
                f"{self._words} is here, but the installed onnxruntime has no {_CUDA_PROVIDER}; "
                "exchange it: pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'archgw[gpu]'"
            )
        toolkit = (
            "; a container sees the GPUs of its host with `--gpus all` and the NVIDIA container toolkit"
            if self.container
            else ""
        )
        return f"no NVIDIA GPU is usable here ({self.fault}{toolkit})"

    @property
    def _words(self) -> str:
        return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in Counter(self.names).items())


def decide(mode: Mode, found: Found) -> str | None:
    """The GPU that local models run on; None: they run on the CPU. RuntimeFault where the mode asks for one in vain."""
    if mode is Mode.LOCAL_CPU:
        return None
    if mode is Mode.LOCAL_GPU and found.usable is None:
        raise RuntimeFault(
            f"--local runs the models on a GPU: {found.missing}\nTo run them on the CPU: archgw up --local -cpu"
        )
    return found.usable


def find(environ: Mapping[str, str]) -> Found:
    """Look for GPUs, without a CUDA context of our own."""
    container = any(mark.exists() for mark in _CONTAINER_MARKS)
    try:
        import pynvml  # type: ignore[import-untyped]  # noqa: PLC0415 - a gateway on the CPU needs none
    except ImportError:
        return Found(fault="NVML cannot be asked: pip install 'archgw[local]'", container=container)
    try:
        with _session(pynvml):
            names = tuple(_names(pynvml, environ.get(VISIBLE)))
    except pynvml.NVMLError_LibraryNotFound:
        fault = "NVML, libnvidia-ml.so.1 of NVIDIA's driver, is not on this machine"
        return Found(fault=fault, container=container)
    except pynvml.NVMLError as error:
        return Found(fault=f"NVML, of NVIDIA's driver, says: {error}", container=container)
    if not names:
        limit = f" that {VISIBLE}={environ[VISIBLE]} lets pass" if VISIBLE in environ else ""
        return Found(fault=f"NVML names no device{limit} that takes computations", container=container)
    return Found(names, cuda=_onnxruntime_has_cuda(), container=container)


@contextlib.contextmanager
def _session(nvml: Any) -> Iterator[None]:
    nvml.nvmlInit()
    try:
        yield
    finally:
        nvml.nvmlShutdown()


def _names(nvml: Any, visible: str | None) -> Iterator[str]:
    for device in _devices(nvml, visible):
        if not _is_prohibited(nvml, device):
            yield nvml.nvmlDeviceGetName(device)


def _is_prohibited(nvml: Any, device: Any) -> bool:
    try:
        return bool(nvml.nvmlDeviceGetComputeMode(device) == nvml.NVML_COMPUTEMODE_PROHIBITED)
    except nvml.NVMLError_NotSupported:
        # A slice of a GPU has no such mode.
        return False


def _devices(nvml: Any, visible: str | None) -> Iterator[Any]:
    """As CUDA reads its variable: positions and ids, up to the first entry that is neither."""
    count = nvml.nvmlDeviceGetCount()
    for entry in map(str, range(count)) if visible is None else visible.split(","):
        if entry.strip().isdigit() and int(entry) < count:
            yield nvml.nvmlDeviceGetHandleByIndex(int(entry))
        elif entry.strip().startswith(("GPU-", "MIG-")):
            yield nvml.nvmlDeviceGetHandleByUUID(entry.strip())
        else:
            return


def _onnxruntime_has_cuda() -> bool:
    try:
        import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - half a second, and only a machine with a GPU wants to know
    except ImportError:
        return False
    return _CUDA_PROVIDER in onnxruntime.get_available_providers()

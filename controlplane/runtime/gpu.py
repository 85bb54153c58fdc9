"""Detects NVIDIA GPUs that models can run on (`detect`, with the driver's NVML) and chooses the CPU or a GPU."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controlplane.config.model_serving import Mode
from controlplane.errors import RuntimeFault

# Environment variable that limits the devices that CUDA uses. NVML ignores it.
VISIBLE_DEVICES: Final = "CUDA_VISIBLE_DEVICES"
_CUDA_PROVIDER: Final = "CUDAExecutionProvider"
# Files that exist in containers of Docker and of Podman.
_CONTAINER_MARKS: Final = (Path("/.dockerenv"), Path("/run/.containerenv"))


@dataclass(frozen=True, slots=True)
class GpuDetection:
    """The GPUs of this machine. `names`: those that CUDA may use; `fault`: the reason if there is none.

    `cuda`: whether onnxruntime, which runs most models, can compute on a GPU. `container`: whether this is a container.
    """

    names: tuple[str, ...] = ()
    fault: str = ""
    cuda: bool = False
    container: bool = False

    @property
    def usable(self) -> str | None:
        """The GPUs in words; None if models cannot run on one."""
        return self._words if self.names and self.cuda else None

    @property
    def missing(self) -> str:
        """The reason why no GPU is usable, and the remedy."""
        if self.names:
            return (
                f"{self._words} is here, but the installed onnxruntime has no {_CUDA_PROVIDER}; "
                "replace it: pip uninstall -y onnxruntime onnxruntime-gpu && pip install 'archgw[gpu]'"
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


def choose(mode: Mode, detection: GpuDetection) -> str | None:
    """Return the GPU for local models, or None for the CPU. RuntimeFault if the mode needs a GPU and none is usable."""
    if mode is Mode.LOCAL_CPU:
        return None
    if mode is Mode.LOCAL_GPU and detection.usable is None:
        raise RuntimeFault(
            f"--local runs the models on a GPU: {detection.missing}\nTo run them on the CPU: archgw up --local -cpu"
        )
    return detection.usable


def detect(environ: Mapping[str, str]) -> GpuDetection:
    """Detect GPUs. Creates no CUDA context."""
    container = any(mark.exists() for mark in _CONTAINER_MARKS)
    try:
        import pynvml  # type: ignore[import-untyped]  # noqa: PLC0415 - not needed on the CPU
    except ImportError:
        fault = "the Python bindings of NVML are missing: pip install 'archgw[local]'"
        return GpuDetection(fault=fault, container=container)
    try:
        with _session(pynvml):
            names = tuple(_names(pynvml, environ.get(VISIBLE_DEVICES)))
    except pynvml.NVMLError_LibraryNotFound:
        fault = "NVML, libnvidia-ml.so.1 of NVIDIA's driver, is not on this machine"
        return GpuDetection(fault=fault, container=container)
    except pynvml.NVMLError as error:
        return GpuDetection(fault=f"NVML, of NVIDIA's driver, reports: {error}", container=container)
    if not names:
        limit = f" that {VISIBLE_DEVICES}={environ[VISIBLE_DEVICES]} allows" if VISIBLE_DEVICES in environ else ""
        return GpuDetection(fault=f"NVML names no device{limit} that can run computations", container=container)
    return GpuDetection(names, cuda=_onnxruntime_has_cuda(), container=container)


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
        # A MIG slice has no compute mode.
        return False


def _devices(nvml: Any, visible: str | None) -> Iterator[Any]:
    """Yield the devices of `visible` as CUDA does: indices and ids, up to the first entry that is neither."""
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
        import onnxruntime  # type: ignore[import-untyped]  # noqa: PLC0415 - takes 0.5 s, and is needed only with a GPU
    except ImportError:
        return False
    return _CUDA_PROVIDER in onnxruntime.get_available_providers()

"""Detection and choice of a GPU, with a fake NVML."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pynvml  # type: ignore[import-untyped]
import pytest

from controlplane.config.model_serving import Mode
from controlplane.errors import RuntimeFault
from controlplane.runtime import gpu

H200, L4 = "NVIDIA H200", "NVIDIA L4"
Machine = Callable[..., None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Fakes NVML with these devices or a fault, and onnxruntime with or without CUDA."""

    def make(*names: str, cuda: bool = True, fault: int | None = None, prohibited: Sequence[int] = ()) -> None:
        def init() -> None:
            if fault is not None:
                raise pynvml.NVMLError(fault)

        compute_modes = (pynvml.NVML_COMPUTEMODE_DEFAULT, pynvml.NVML_COMPUTEMODE_PROHIBITED)
        monkeypatch.setattr(pynvml, "nvmlInit", init)
        monkeypatch.setattr(pynvml, "nvmlShutdown", lambda: None)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetCount", lambda: len(names))
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByIndex", lambda index: index)
        monkeypatch.setattr(pynvml, "nvmlDeviceGetHandleByUUID", lambda uuid: int(uuid.removeprefix("GPU-")))
        monkeypatch.setattr(pynvml, "nvmlDeviceGetName", lambda index: names[index])
        monkeypatch.setattr(pynvml, "nvmlDeviceGetComputeMode", lambda index: compute_modes[index in prohibited])
        providers = ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]
        monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(get_available_providers=lambda: providers))
        monkeypatch.setattr(gpu, "_CONTAINER_MARKS", ())

    return make


def test_cpu_mode_ignores_a_gpu() -> None:
    assert gpu.choose(Mode.LOCAL_CPU, gpu.GpuDetection((H200,), cuda=True)) is None


@pytest.mark.parametrize("mode", [Mode.LOCAL_GPU, Mode.REMOTE])
@pytest.mark.parametrize(
    ("names", "words"), [((H200,), H200), ((H200, H200), f"2 x {H200}"), ((L4, H200), f"{L4}, {H200}")]
)
def test_uses_a_gpu_and_names_it(machine: Machine, mode: Mode, names: tuple[str, ...], words: str) -> None:
    machine(*names)
    assert gpu.choose(mode, gpu.detect({})) == words


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "libnvidia-ml.so.1 of NVIDIA's driver, is not on this machine"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"),
        (None, "names no device"),
    ],
)
def test_without_a_gpu_local_fails_and_remote_uses_the_cpu(machine: Machine, fault: int | None, reason: str) -> None:
    machine(fault=fault)
    found = gpu.detect({})
    with pytest.raises(RuntimeFault, match=r"NVML(?s:.*)archgw up --local -cpu") as failure:
        gpu.choose(Mode.LOCAL_GPU, found)
    assert reason in str(failure.value)
    assert failure.value.exit_code == 1
    assert gpu.choose(Mode.REMOTE, found) is None
    assert reason in found.missing


def test_names_the_extra_if_onnxruntime_lacks_cuda(machine: Machine) -> None:
    machine(H200, cuda=False)
    found = gpu.detect({})
    with pytest.raises(RuntimeFault, match=rf"{H200}(?s:.*)pip install 'archgw\[gpu\]'(?s:.*)--local -cpu"):
        gpu.choose(Mode.LOCAL_GPU, found)
    assert gpu.choose(Mode.REMOTE, found) is None


def test_ignores_a_gpu_in_prohibited_mode(machine: Machine) -> None:
    machine(H200, L4, prohibited=[0])
    assert gpu.detect({}).names == (L4,)


@pytest.mark.parametrize(
    ("visible", "names"),
    [("1", (H200,)), ("1,0", (H200, L4)), ("GPU-1", (H200,)), ("-1", ()), ("", ()), ("0,7,1", (L4,))],
)
def test_respects_cuda_visible_devices(machine: Machine, visible: str, names: tuple[str, ...]) -> None:
    machine(L4, H200)
    found = gpu.detect({"CUDA_VISIBLE_DEVICES": visible})
    assert found.names == names
    assert names or f"CUDA_VISIBLE_DEVICES={visible}" in found.missing


def test_names_the_container_toolkit_in_a_container(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine(fault=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    monkeypatch.setattr(gpu, "_CONTAINER_MARKS", (tmp_path,))
    assert "NVIDIA container toolkit" in gpu.detect({}).missing


def test_names_the_extra_without_nvml_bindings(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(H200)
    absent: ModuleType | None = None
    monkeypatch.setitem(sys.modules, "pynvml", absent)
    assert "archgw[local]" in gpu.detect({}).missing

"""Where the models run: every row of the table of modes, with an NVML that says what a test wants it to say."""

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
    """Makes NVML name these devices, or fail; and onnxruntime know CUDA, or not."""

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


def test_on_the_cpu_no_gpu_is_used_though_there_is_one() -> None:
    assert gpu.decide(Mode.LOCAL_CPU, gpu.Found((H200,), cuda=True)) is None


@pytest.mark.parametrize("mode", [Mode.LOCAL_GPU, Mode.REMOTE])
@pytest.mark.parametrize(
    ("names", "words"), [((H200,), H200), ((H200, H200), f"2 x {H200}"), ((L4, H200), f"{L4}, {H200}")]
)
def test_a_usable_gpu_is_used_under_its_name(machine: Machine, mode: Mode, names: tuple[str, ...], words: str) -> None:
    machine(*names)
    assert gpu.decide(mode, gpu.find({})) == words


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "libnvidia-ml.so.1 of NVIDIA's driver, is not on this machine"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"),
        (None, "names no device"),
    ],
)
def test_without_one_local_fails_and_remote_goes_on(machine: Machine, fault: int | None, said: str) -> None:
    machine(fault=fault)
    found = gpu.find({})
    with pytest.raises(RuntimeFault, match=r"NVML(?s:.*)archgw up --local -cpu") as failure:
        gpu.decide(Mode.LOCAL_GPU, found)
    assert said in str(failure.value)
    assert failure.value.exit_code == 1
    assert gpu.decide(Mode.REMOTE, found) is None
    assert said in found.missing


def test_a_gpu_that_onnxruntime_cannot_use_names_the_extra(machine: Machine) -> None:
    machine(H200, cuda=False)
    found = gpu.find({})
    with pytest.raises(RuntimeFault, match=rf"{H200}(?s:.*)pip install 'archgw\[gpu\]'(?s:.*)--local -cpu"):
        gpu.decide(Mode.LOCAL_GPU, found)
    assert gpu.decide(Mode.REMOTE, found) is None


def test_a_gpu_that_takes_no_computations_is_none(machine: Machine) -> None:
    machine(H200, L4, prohibited=[0])
    assert gpu.find({}).names == (L4,)


@pytest.mark.parametrize(
    ("visible", "names"),
    [("1", (H200,)), ("1,0", (H200, L4)), ("GPU-1", (H200,)), ("-1", ()), ("", ()), ("0,7,1", (L4,))],
)
def test_what_cuda_may_not_see_is_not_there(machine: Machine, visible: str, names: tuple[str, ...]) -> None:
    machine(L4, H200)
    found = gpu.find({"CUDA_VISIBLE_DEVICES": visible})
    assert found.names == names
    assert names or f"CUDA_VISIBLE_DEVICES={visible}" in found.missing


def test_in_a_container_the_toolkit_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    machine(fault=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
    monkeypatch.setattr(gpu, "_CONTAINER_MARKS", (tmp_path,))
    assert "NVIDIA container toolkit" in gpu.find({}).missing


def test_without_the_bindings_the_extra_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(H200)
    absent: ModuleType | None = None
    monkeypatch.setitem(sys.modules, "pynvml", absent)
    assert "archgw[local]" in gpu.find({}).missing

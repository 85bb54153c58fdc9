"""Which GPU containers get, by what the engine and this machine say."""

from __future__ import annotations

import pytest

from controlplane.compile.plans import Mode
from controlplane.errors import RuntimeFault
from controlplane.runtime import gpu
from controlplane.runtime.docker import start
from controlplane.runtime.docker.engine import EngineInfo

H200 = "NVIDIA H200"


def info(*runtimes: str) -> EngineInfo:
    return EngineInfo("27.0", "1.46", False, runtimes, (), "linux", 2, 1 << 30)


@pytest.mark.parametrize(
    ("mode", "runtimes", "names", "expected"),
    [
        (Mode.LOCAL_CPU, ("nvidia",), (H200,), None),
        (Mode.LOCAL_GPU, ("nvidia",), (H200,), H200),
        (Mode.LOCAL_GPU, ("nvidia",), (), "NVIDIA GPU"),
        (Mode.LOCAL_GPU, ("runc",), (H200,), H200),
        (Mode.REMOTE, ("nvidia",), (H200,), H200),
        (Mode.REMOTE, ("runc",), (H200,), None),
    ],
)
def test_the_gpu_that_an_engine_lends(
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    runtimes: tuple[str, ...],
    names: tuple[str, ...],
    expected: str | None,
) -> None:
    monkeypatch.setattr(gpu, "find", lambda _: gpu.Found(names))
    assert start._gpu(mode, info(*runtimes)) == expected


def test_local_without_any_says_what_to_install_and_what_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "find", lambda _: gpu.Found())
    with pytest.raises(RuntimeFault, match=r"nvidia-ctk runtime configure(?s:.*)archgw up --local -cpu"):
        start._gpu(Mode.LOCAL_GPU, info("runc"))

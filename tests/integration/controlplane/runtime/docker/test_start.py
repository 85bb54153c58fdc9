"""Checks before containers start, and waiting for their end, with a fake engine."""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.config.model_serving import Mode
from controlplane.errors import RuntimeFault
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import gpu
from controlplane.runtime.docker import start
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.engine_objects import Container, EngineInfo
from controlplane.runtime.docker.runner import DockerRunner
from controlplane.runtime.runner import ServiceState
from tests.unit.controlplane.runtime.docker.gateways import LOCAL, gateway
from tests.unit.controlplane.runtime.docker.test_runner import container

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
def test_gpu_is_used_if_the_engine_supports_it(
    monkeypatch: pytest.MonkeyPatch,
    mode: Mode,
    runtimes: tuple[str, ...],
    names: tuple[str, ...],
    expected: str | None,
) -> None:
    monkeypatch.setattr(gpu, "detect", lambda _: gpu.GpuDetection(names))
    assert start._gpu(mode, info(*runtimes)) == expected


def test_local_without_a_gpu_explains_both_ways_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "detect", lambda _: gpu.GpuDetection())
    with pytest.raises(RuntimeFault, match=r"nvidia-ctk runtime configure(?s:.*)archgw up --local -cpu"):
        start._gpu(Mode.LOCAL_GPU, info("runc"))


class FakeEngine(Engine):
    """A fake engine. Envoy's container publishes `published`; commands are recorded in `done`."""

    def __init__(self, *containers: Container, published: frozenset[int] = frozenset()) -> None:
        super().__init__("docker", {})
        object.__setattr__(self, "here", list(containers))
        object.__setattr__(self, "published", published)
        object.__setattr__(self, "done", [])

    here: list[Container]
    published: frozenset[int]
    done: list[tuple[str, ...]]

    def containers(self, project: str) -> tuple[Container, ...]:
        return tuple(self.here)

    def ports(self, container: str) -> frozenset[int]:
        assert container == "id-envoy"
        return self.published

    def run(self, *args: str, input: str | None = None, timeout_s: float = 120, doing: str = "") -> str:  # noqa: A002
        self.done.append(args)
        self.here[:] = [replace(each, state="running") for each in self.here]
        return ""


def test_continues_paused_containers() -> None:
    engine = FakeEngine(container("envoy", "paused"), container("extproc-0"))
    assert [each.service for each in start._running_containers(engine, "p")] == ["envoy", "extproc-0"]
    assert engine.done == [("unpause", "id-envoy")]


def test_ended_containers_do_not_count_as_running() -> None:
    engine = FakeEngine(container("envoy", "exited"), container("extproc-0"))
    assert [each.service for each in start._running_containers(engine, "p")] == ["extproc-0"]
    assert engine.done == []


def test_checks_new_ports_before_replacing_envoy(tmp_path: Path) -> None:
    compiled = gateway(LOCAL, tmp_path, Mode.LOCAL_CPU)
    with contextlib.ExitStack() as stack:
        for listener in compiled.envoy.listeners:
            stack.enter_context(socket.create_server(("127.0.0.1", listener.address.port)))
        taken = frozenset(listener.address.port for listener in compiled.envoy.listeners)
        envoy = container("envoy")
        start._check_ports(FakeEngine(published=taken), compiled, [envoy])
        with pytest.raises(RuntimeFault, match=r"listeners\.\w+\.port.* is taken"):
            start._check_ports(FakeEngine(published=frozenset({1})), compiled, [envoy])
        with pytest.raises(RuntimeFault, match=r"listeners\.\w+\.port.* is taken"):
            start._check_ports(FakeEngine(published=taken), compiled, [])


def test_foreground_wait_survives_a_silent_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replies: list[tuple[ServiceState, ...] | None] = [(ServiceState("envoy", "RUNNING", 1, 1, ""),), None]
    queries: list[int] = []

    def services(_: DockerRunner) -> tuple[ServiceState, ...] | None:
        queries.append(1)
        if len(queries) == 2:
            raise RuntimeFault("Docker did not answer within 10 s")
        return replies.pop(0)

    monkeypatch.setattr(start, "_WATCH_S", 0)
    monkeypatch.setattr(DockerRunner, "services", services)
    assert start._wait(DockerRunner(RunLayout(tmp_path))) == 0
    assert len(queries) == 3

"""Selection of the runtime and its reason, with a fake engine."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.config.model_serving import Mode
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.docker import images, runtime_selection
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.runner import Runtime, ServiceState
from controlplane.runtime.start_options import StartOptions

OPTIONS = StartOptions(Path("arch_config.yaml"), Mode.LOCAL_CPU, deadline_s=1)
NVIDIA = "nvcr.io/nvidia/tritonserver:24.10-py3"


class FakeEngine(Engine):
    """A fake engine with some images, and a registry with others."""

    def __init__(self, here: set[str], registry: set[str]) -> None:
        super().__init__("docker", {})
        object.__setattr__(self, "_here", here)
        object.__setattr__(self, "_registry", registry)

    _here: set[str]
    _registry: set[str]

    def has_image(self, ref: str) -> bool:
        return ref in self._here

    def can_pull(self, ref: str, timeout_s: float = 5) -> bool:
        return ref in self._registry


def choose(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    unavailable_reason: str | None = None,
    missing: tuple[str, ...] = (),
    here: set[str] | None = None,
    registry: set[str] | None = None,
) -> tuple[Runtime, str]:
    monkeypatch.setattr(runtime_selection, "unavailable_reason", lambda: unavailable_reason)
    monkeypatch.setattr(Engine, "find", lambda: FakeEngine(here or set(), registry or set()))
    monkeypatch.setattr(images, "missing", lambda *_: missing)
    return runtime_selection.choose_runtime(OPTIONS, RunLayout(tmp_path))


def test_native_with_the_reason_without_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = choose(monkeypatch, tmp_path, unavailable_reason="no Docker engine answers")
    assert found == (Runtime.NATIVE, "no Docker engine answers")


def test_docker_if_all_images_exist(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime, why = choose(monkeypatch, tmp_path)
    assert runtime is Runtime.DOCKER
    assert "has the images" in why


@pytest.mark.parametrize("where", ["here", "registry"])
def test_docker_if_images_can_be_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str) -> None:
    needed = images.required_images(images.Variant.CPU, local=True, registry=None)
    bases = set(images.base_images(needed, needed.needed))
    assert NVIDIA in bases
    having = {where: bases}
    runtime, why = choose(monkeypatch, tmp_path, missing=needed.needed, **having)  # type: ignore[arg-type]
    assert runtime is Runtime.DOCKER
    assert needed.triton in why


def test_native_if_a_base_image_is_unavailable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needed = images.required_images(images.Variant.CPU, local=True, registry=None)
    bases = set(images.base_images(needed, needed.needed)) - {NVIDIA}
    runtime, why = choose(monkeypatch, tmp_path, missing=needed.needed, here=bases)
    assert runtime is Runtime.NATIVE
    assert NVIDIA in why


def test_keeps_the_runtime_of_a_running_gateway(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class FakeRunner:
        runtime = Runtime.NATIVE

        def services(self) -> tuple[ServiceState, ...]:
            return (ServiceState("envoy", "RUNNING", 1, 1, ""),)

    monkeypatch.setattr(runtime_selection, "runner_of", lambda _: FakeRunner())
    runtime, why = choose(monkeypatch, tmp_path)
    assert runtime is Runtime.NATIVE
    assert str(tmp_path) in why

"""Which runtime `up` takes by itself, and the reason that it gives. The engine here is what the test says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.config.model_serving import Mode
from controlplane.runtime.docker import choice, images
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.runner import PartState, Runtime
from controlplane.runtime.wanted import Wanted

WANTED = Wanted(Path("arch_config.yaml"), Mode.LOCAL_CPU, deadline_s=1)
NVIDIA = "nvcr.io/nvidia/tritonserver:24.10-py3"


class Having(Engine):
    """An engine with some images, behind a registry with some others."""

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
    why_not: str | None = None,
    missing: tuple[str, ...] = (),
    here: set[str] | None = None,
    registry: set[str] | None = None,
) -> tuple[Runtime, str]:
    monkeypatch.setattr(choice, "why_not", lambda: why_not)
    monkeypatch.setattr(Engine, "find", lambda: Having(here or set(), registry or set()))
    monkeypatch.setattr(images, "missing", lambda *_: missing)
    return choice.choose(WANTED, RunLayout(tmp_path))


def test_without_an_engine_processes_and_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = choose(monkeypatch, tmp_path, why_not="no Docker engine answers")
    assert found == (Runtime.NATIVE, "no Docker engine answers")


def test_with_every_image_containers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    runtime, why = choose(monkeypatch, tmp_path)
    assert runtime is Runtime.DOCKER
    assert "has the images" in why


@pytest.mark.parametrize("where", ["here", "registry"])
def test_with_what_images_are_made_of_containers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, where: str) -> None:
    needed = images.wanted(images.Variant.CPU, local=True, registry=None)
    bases = set(images.sources(needed, needed.needed))
    assert NVIDIA in bases
    having = {where: bases}
    runtime, why = choose(monkeypatch, tmp_path, missing=needed.needed, **having)  # type: ignore[arg-type]
    assert runtime is Runtime.DOCKER
    assert needed.triton in why


def test_without_one_of_them_processes_and_which(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needed = images.wanted(images.Variant.CPU, local=True, registry=None)
    bases = set(images.sources(needed, needed.needed)) - {NVIDIA}
    runtime, why = choose(monkeypatch, tmp_path, missing=needed.needed, here=bases)
    assert runtime is Runtime.NATIVE
    assert NVIDIA in why


def test_what_runs_already_goes_on_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Here:
        runtime = Runtime.NATIVE

        def parts(self) -> tuple[PartState, ...]:
            return (PartState("envoy", "RUNNING", 1, 1, ""),)

    monkeypatch.setattr(choice, "runner_of", lambda _: Here())
    runtime, why = choose(monkeypatch, tmp_path)
    assert runtime is Runtime.NATIVE
    assert str(tmp_path) in why

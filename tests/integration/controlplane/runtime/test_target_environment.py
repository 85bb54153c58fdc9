"""Backends of each role in every mode, with and without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from controlplane.config.load import load
from controlplane.config.model_serving import Mode
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import gpu
from controlplane.runtime.target_environment import compile_native

URL = "grpcs://triton.example.com:443"
H200 = "NVIDIA H200"
CONFIG = f"""\
version: v1
listeners:
  ingress: {{port: 10000}}
  egress: {{port: 12000}}
endpoints:
  api: {{endpoint: 127.0.0.1:9000}}
llm_providers:
- {{name: m, provider: openai, model: m, access_key: $TEST_KEY, default: true}}
- {{name: small, provider: triton, model: chat}}
prompt_guards:
  input_guards:
    jailbreak: {{}}
prompt_targets:
- name: weather
  description: The weather of a city
  endpoint: {{name: api, path: /weather}}
model_serving:
  remote: {{url: "{URL}"}}
"""


def places(tmp_path: Path, mode: Mode, serving: str = "") -> tuple[dict[str, list[str]], list[str]]:
    """Return the backends of each role in order of preference, and the messages."""
    path = tmp_path / "arch_config.yaml"
    path.write_text(CONFIG + serving)
    messages: list[str] = []
    loaded = load(path, {"TEST_KEY": "sk-test"})
    gateway = compile_native(loaded, RunLayout(tmp_path / "run"), mode, messages.append)
    found: dict[str, list[str]] = {}
    for each in gateway.places:
        found.setdefault(each.role, []).append(each.where)
    return found, messages


@pytest.fixture(params=[True, False], ids=["with a GPU", "without"])
def has_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    found = gpu.GpuDetection((H200,), cuda=True) if request.param else gpu.GpuDetection(fault="NVML is not here")
    monkeypatch.setattr(gpu, "detect", lambda _: found)
    return bool(request.param)


def test_local_cpu_mode(tmp_path: Path, has_gpu: bool) -> None:
    found, messages = places(tmp_path, Mode.LOCAL_CPU)
    assert found == {role: ["CPU"] for role in ("guard", "embed", "function", "chat")}
    assert messages == []


def test_local_gpu_mode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "detect", lambda _: gpu.GpuDetection((H200,), cuda=True))
    found, messages = places(tmp_path, Mode.LOCAL_GPU)
    assert (found["guard"], found["embed"]) == ([H200], [H200])
    # The default function model and the small chat model run on CPUs only.
    assert (found["function"], found["chat"]) == (["CPU"], ["CPU"])
    assert messages == []


def test_remote_mode_with_local_intent(tmp_path: Path, has_gpu: bool) -> None:
    found, messages = places(tmp_path, Mode.REMOTE)
    assert (found["guard"], found["function"]) == ([URL], [URL])
    assert found["embed"] == [H200 if has_gpu else "CPU"]
    assert found["chat"] == ["CPU"]
    assert len(messages) == (0 if has_gpu else 1)
    assert all("intent" in note and "CPU" in note for note in messages)


def test_backend_of_a_role_overrides_the_mode(tmp_path: Path, has_gpu: bool) -> None:
    serving = """\
  roles:
    guard: {placement: [remote, local]}
    embed: {placement: remote}
    function: {placement: local}
"""
    found, messages = places(tmp_path, Mode.REMOTE, serving)
    assert found["guard"] == [URL, H200 if has_gpu else "CPU"]
    assert (found["embed"], found["function"]) == ([URL], ["CPU"])
    assert messages == []
    found, _ = places(tmp_path, Mode.LOCAL_CPU, serving)
    assert (found["guard"], found["embed"]) == ([URL, "CPU"], [URL])

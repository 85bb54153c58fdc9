"""Starts the gateway with `archgw up`, on the bench's own configuration."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml

from bench import load
from bench.load import BenchError
from bench.processes import descendants, free_ports, resident

WORKERS: Final = 2
_UP_SECONDS: Final = 120.0


def config(
    ingress: int,
    egress: int,
    upstream: int,
    local: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> str:
    """Returns a configuration with the guard, two prompt targets that the bench prompt does not match, one provider,
    and as many workers as LiteLLM has. `local`: `model_serving.local`.
    """
    return yaml.safe_dump(
        {
            "version": "v1",
            "listeners": {
                "ingress": {"address": "127.0.0.1", "port": ingress},
                "egress": {"address": "127.0.0.1", "port": egress},
            },
            "endpoints": {"bench_api": {"endpoint": f"127.0.0.1:{upstream}"}},
            "llm_providers": [
                {
                    "name": "bench",
                    "provider": "openai_compatible",
                    "base_url": f"http://127.0.0.1:{upstream}/v1",
                    "model": "mock",
                    "access_key": "$BENCH_KEY",
                    "default": True,
                }
            ],
            "prompt_guards": {"input_guards": {"jailbreak": {}}},
            "prompt_targets": [
                {
                    "name": "card_lost",
                    "description": "Report a lost or stolen bank card and block it",
                    "endpoint": {"name": "bench_api", "path": "/card_lost"},
                    "parameters": [
                        {"name": "card", "type": "str", "description": "Last four digits", "required": True}
                    ],
                },
                {
                    "name": "transfer",
                    "description": "Transfer an amount of money to another account",
                    "endpoint": {"name": "bench_api", "path": "/transfer"},
                    "parameters": [{"name": "amount", "type": "float", "description": "Amount", "required": True}],
                },
            ],
            "overrides": dict[str, Any](filter_workers=WORKERS, **overrides),
            **({"model_serving": {"local": dict(local)}} if local else {}),
        },
        sort_keys=False,
    )


@dataclass(frozen=True, slots=True)
class Gateway:
    """A running gateway."""

    egress: str
    ingress: str
    run_dir: Path

    def memory(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the resident bytes by service: envoy, each extproc worker, triton with its models' processes."""
        return {
            name: tuple(sum(resident(one) for one in descendants(pid)) for pid in pids)
            for name, pids in self.pids().items()
        }

    def workers(self) -> dict[int, int]:
        """Returns the resident bytes of each filter worker, by pid."""
        return {pid: resident(pid) for pid in self.pids()["extproc"]}

    def pids(self) -> Mapping[str, tuple[int, ...]]:
        """Returns the pids by service, without child processes."""
        found: dict[str, tuple[int, ...]] = {}
        for name, pid in sorted(_pids(self.run_dir)):
            found[name] = (*found.get(name, ()), pid)
        return found


def _archgw(*arguments: str) -> list[str]:
    return [str(Path(sys.executable).with_name("archgw")), *arguments]


def _pids(run_dir: Path) -> list[tuple[str, int]]:
    done = subprocess.run(
        _archgw("status", "--json", "--run-dir", str(run_dir)), check=True, capture_output=True, text=True
    )
    status: dict[str, Any] = json.loads(done.stdout)
    return [(part["name"].rstrip("0123456789-_"), int(part["pid"])) for part in status["parts"] if part["pid"]]


@contextlib.contextmanager
def started(
    work: Path,
    upstream: int,
    local: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> Iterator[Gateway]:
    """Runs `archgw up`, and `archgw down` in any case. `local`: `model_serving.local`."""
    ingress, egress = free_ports(2)
    work.mkdir(parents=True, exist_ok=True)
    file = work / "arch_config.yaml"
    file.write_text(config(ingress, egress, upstream, local, overrides))
    run_dir = work / "run"
    environment = {**os.environ, "BENCH_KEY": "sk-bench"}
    up = _archgw("up", str(file), "--local", "-cpu", "--runtime", "native", "--run-dir", str(run_dir))
    try:
        done = subprocess.run(up, check=False, capture_output=True, text=True, env=environment, timeout=_UP_SECONDS)
        if done.returncode:
            raise BenchError(f"archgw up failed:\n{done.stdout}{done.stderr}")
        gateway = Gateway(
            egress=f"http://127.0.0.1:{egress}/v1/chat/completions",
            ingress=f"http://127.0.0.1:{ingress}/v1/chat/completions",
            run_dir=run_dir,
        )
        for url in (gateway.egress, gateway.ingress):
            load.check(url)
        yield gateway
    finally:
        subprocess.run(_archgw("down", "--run-dir", str(run_dir)), check=False, capture_output=True)

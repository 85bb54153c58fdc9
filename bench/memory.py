"""Measures the memory growth of filter workers over many requests through egress. `--memory`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import load
from bench.gateway import Gateway
from bench.processes import MB

_STEPS: Final = 10
_CONCURRENCY: Final = 8
# wrk runs for a time, not for a number of requests: short runs approximate the number.
_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident bytes of each worker, by pid, after `requests` requests in all."""

    requests: int
    workers: dict[int, int]


def measure(gateway: Gateway, requests: int, body_file: Path, say: Callable[[str], None]) -> list[Sample]:
    samples = [Sample(0, gateway.workers())]
    sent = 0
    for step in range(1, _STEPS + 1):
        while sent < requests * step // _STEPS:
            sent += load.run(gateway.egress, _CONCURRENCY, _SECONDS, body_file).requests
        samples.append(Sample(sent, gateway.workers()))
        say(f"{sent:,} requests")
    return samples


def table(samples: Sequence[Sample]) -> list[str]:
    pids = list(samples[0].workers)
    lines = ["| requests | " + " | ".join(f"worker {number}, MB" for number in range(len(pids))) + " |"]
    lines.append("| ---: |" + " ---: |" * len(pids))
    for sample in samples:
        # A restarted worker has a new pid. Its size would hide the growth that ended the old one.
        sizes = [f"{sample.workers[pid] / MB:.1f}" if pid in sample.workers else "gone" for pid in pids]
        lines.append(f"| {sample.requests:,} | " + " | ".join(sizes) + " |")
    return lines

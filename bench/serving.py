"""The throughput of guard and intent through the whole gateway, against that of the models alone. `--rows serving`.

Also under various settings of `model_serving.local`: `--rows tuning`.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from bench import gateway, load, machine, model_throughput
from bench.gateway import Gateway
from bench.load import CONCURRENCIES
from bench.processes import processor_seconds
from bench.report import Served, Serving, Setting

_OFF: Final = "off"
_DELAYS: Final = (_OFF, "0us", "500us", "2ms")
_WARM_UP_S: Final = 2.0

Say = Callable[[str], None]


class Upstream:
    """The mock LLM. Its processor time is reported apart from that of the gateway and the models."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid


def compare(scratch: Path, upstream: Upstream, seconds: float, rounds: int, say: Say) -> list[Serving]:
    """Measures both alternately, so that other load on the machine affects both; the other one is idle meanwhile."""
    found = []
    with model_throughput.model_processes(machine.cores()) as models, _started(scratch, upstream, {}) as running:
        for number in range(rounds):
            say(f"serving, round {number + 1} of {rounds}")
            found.append(Serving(models.measure(seconds), _served(running, upstream, seconds, scratch)))
    return found


def tune(scratch: Path, upstream: Upstream, seconds: float, rounds: int, say: Say) -> list[Setting]:
    """Measures each setting once in each round."""
    found = []
    for number in range(rounds):
        for instances, threads, delay in itertools.product((1, 2), (1, 2), _DELAYS):
            say(f"tuning, round {number + 1} of {rounds}: {instances} x {threads}, {delay}")
            # A batch size of 1 switches batching off.
            batching: dict[str, Any] = {"max_batch_size": 1} if delay == _OFF else {"max_queue_delay": delay}
            with _started(scratch, upstream, {"instances": instances, "threads": threads, **batching}) as running:
                loads = tuple(load.run(running.ingress, each, seconds, _body(scratch)) for each in CONCURRENCIES)
            found.append(Setting(instances, threads, delay, loads))
    return found


@contextlib.contextmanager
def _started(scratch: Path, upstream: Upstream, local: Mapping[str, Any]) -> Iterator[Gateway]:
    with gateway.started(scratch / "archgw", upstream.port, local) as running:
        load.run(running.ingress, max(CONCURRENCIES), _WARM_UP_S, _body(scratch))
        yield running


def _served(running: Gateway, upstream: Upstream, seconds: float, scratch: Path) -> Served:
    """Runs a load and returns it with the processor time of each process."""
    pids = {**running.pids(), "mock upstream": (upstream.pid,)}
    before = _spent(pids)
    taken = load.run(running.ingress, max(CONCURRENCIES), seconds, _body(scratch))
    spent = {name: seconds_ - before[name] for name, seconds_ in _spent(pids).items()}
    return Served(taken, {name: each / taken.requests * 1000 for name, each in spent.items()})


def _spent(pids: Mapping[str, tuple[int, ...]]) -> dict[str, float]:
    """Returns the processor seconds so far, by service."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    parts = {name: sum(map(processor_seconds, of_part)) for name, of_part in pids.items()}
    return parts | {"wrk": children.ru_utime + children.ru_stime}


def _body(scratch: Path) -> Path:
    return scratch / "body.json"

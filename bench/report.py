"""Formats the measurements as Markdown. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from bench.load import Load
from bench.processes import MB

DIRECT = "direct to the mock upstream"
PLAIN = "plain Envoy"
EGRESS = "archgw egress"
GRPC_AIO = "archgw egress, the filter on grpcio's server"
INGRESS = "archgw ingress (guard + intent)"
LITELLM = "LiteLLM proxy"


@dataclass(frozen=True, slots=True)
class Row:
    """One path to the upstream. `memory`: resident bytes of each process after the load, by service."""

    name: str
    loads: tuple[Load, ...]
    memory: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def at(self, concurrency: int) -> Load | None:
        return next((load for load in self.loads if load.concurrency == concurrency), None)


@dataclass(frozen=True, slots=True)
class Models:
    """Median milliseconds of the models, called sequentially in one process."""

    guard: float
    embed: float
    both: float


@dataclass(frozen=True, slots=True)
class RoleLatency:
    """The p50 milliseconds of a role's model, called directly, and through Envoy, TLS and another Envoy."""

    role: str
    direct: float
    remote: float


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure of the remote guard, in milliseconds: the first request after it, the median of later requests, and the
    median with a local guard alone. `back_s`: seconds from recovery until the remote guard is used again.
    """

    how: str
    first: float
    later: float
    local: float
    back_s: float


@dataclass(frozen=True, slots=True)
class Alone:
    """The throughput of the models alone. `processor_ms`: processor time of one prompt."""

    processes: int
    per_second: float
    processor_ms: float


@dataclass(frozen=True, slots=True)
class Served:
    """A load through the gateway. `processor_ms`: processor time of one request, by service."""

    load: Load
    processor_ms: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Serving:
    """One round: first the models alone, then the gateway."""

    alone: Alone
    served: Served


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of `model_serving.local`, and the loads under it."""

    instances: int
    threads: int
    delay: str
    loads: tuple[Load, ...]

    @property
    def name(self) -> tuple[int, int, str]:
        return self.instances, self.threads, self.delay


def table(rows: Sequence[Row]) -> list[str]:
    concurrencies = [load.concurrency for load in rows[0].loads]
    head = ["", *(f"c={c}: p50 / p90 / p99 ms" for c in concurrencies), *(f"c={c}: req/s" for c in concurrencies)]
    lines = [_line([*head, "resident MB"]), _line(["---", *["---:"] * (2 * len(concurrencies)), "---"])]
    for row in rows:
        latencies = [f"{load.p50:.2f} / {load.p90:.2f} / {load.p99:.2f}" for load in row.loads]
        rates = [f"{load.per_second:,.0f}" for load in row.loads]
        lines.append(_line([row.name, *latencies, *rates, _memory(row.memory)]))
    return lines


def ratios(rows: Sequence[Row], models: Models | None) -> list[str]:
    """Returns the figures that have goals, from the measured rows."""
    by_name = {row.name: row for row in rows}
    lines = [_line(["measure", "figure", "goal"]), _line(["---", "---", "---"])]
    plain, lite, egress = by_name.get(PLAIN), by_name.get(LITELLM), by_name.get(EGRESS)
    for name in (EGRESS, INGRESS, LITELLM):
        if (row := by_name.get(name)) and plain and (one := row.at(1)) and (base := plain.at(1)):
            lines += [_line([f"{name}: added to plain Envoy's p50, c=1", f"{one.p50 - base.p50:.2f} ms", ""])]
    if plain and lite and egress:
        if (ours := egress.at(1)) and (theirs := lite.at(1)) and (base := plain.at(1)):
            ratio = (theirs.p50 - base.p50) / max(ours.p50 - base.p50, 0.001)
            lines.append(_line(["egress: added p50 at c=1, against LiteLLM's", f"1/{ratio:.1f}", "at most 1/12"]))
        if (ours := egress.at(32)) and (theirs := lite.at(32)) and (base := plain.at(32)):
            ratio = ours.per_second / theirs.per_second
            lines.append(_line(["egress: req/s at c=32, against LiteLLM's", f"{ratio:.1f} times", "at least 12 times"]))
            share = ours.per_second / base.per_second
            lines.append(_line(["egress: req/s at c=32, against plain Envoy's", f"{share:.2f} times", ""]))
    lines += _transport(egress, by_name.get(GRPC_AIO), plain)
    ingress = by_name.get(INGRESS)
    if models:
        figure = f"{models.both:.2f} ms (guard {models.guard:.2f}, embed {models.embed:.2f})"
        lines.append(_line(["models called directly, one process, one after the other: p50", figure, ""]))
        if ingress and (ours := ingress.at(1)):
            figure = f"{ours.p50 / models.both:.2f} times"
            lines.append(_line(["ingress: p50 at c=1, against the models alone", figure, "at most 2 times"]))
    if egress and (workers := egress.memory.get("extproc")):
        lines.append(_line(["largest filter worker", f"{max(workers) / MB:.0f} MB", "at most 120 MB"]))
    return lines


def _transport(ours: Row | None, grpcio: Row | None, plain: Row | None) -> list[str]:
    """Compares the filter's own gRPC server with grpcio's."""
    if ours is None or grpcio is None:
        return []
    lines: list[str] = []
    if (own := ours.at(32)) and (other := grpcio.at(32)):
        figure = f"{own.per_second / other.per_second:.2f} times"
        lines.append(_line(["egress: req/s at c=32, against grpcio's server", figure, "at least 1.4 times"]))
    if plain and (own := ours.at(1)) and (other := grpcio.at(1)) and (base := plain.at(1)):
        figure = f"{(own.p50 - base.p50) / max(other.p50 - base.p50, 0.001):.2f} times"
        lines.append(_line(["egress: added p50 at c=1, against grpcio's server", figure, "at most 0.7 times"]))
    return lines


def role_latencies(found: Sequence[RoleLatency]) -> list[str]:
    lines = [
        _line(["role", "straight: p50 ms", "over TLS: p50 ms", "added ms (goal: at most 1.5)"]),
        _line(["---", "---:", "---:", "---:"]),
    ]
    for each in found:
        added = each.remote - each.direct
        lines.append(_line([each.role, f"{each.direct:.2f}", f"{each.remote:.2f}", f"{added:.2f}"]))
    return lines


def failures(found: Sequence[Failure]) -> list[str]:
    measures = ["first request, ms", "later: p50 ms", "without a remote: p50 ms", "extra ms (goal: under 2)"]
    lines = [
        _line(["the remote guard", *measures, "used again after, s (goal: within 5)"]),
        _line(["---", *["---:"] * (len(measures) + 1)]),
    ]
    for each in found:
        times = [f"{each.first:.0f}", f"{each.later:.2f}", f"{each.local:.2f}", f"{each.later - each.local:.2f}"]
        lines.append(_line([each.how, *times, f"{each.back_s:.1f}"]))
    return lines


def serving(rounds: Sequence[Serving]) -> list[str]:
    """Returns the medians of the rounds. The ratio is computed within each round."""
    processes = rounds[0].alone.processes
    parts = list(rounds[0].served.processor_ms)
    alone_ms = _median(each.alone.processor_ms for each in rounds)
    by_part = {part: _median(each.served.processor_ms[part] for each in rounds) for part in parts}
    spent = f"{sum(by_part.values()):.1f}: " + ", ".join(f"{part} {ms:.1f}" for part, ms in by_part.items())
    alone_rate = _median(each.alone.per_second for each in rounds)
    loads = [each.served.load for each in rounds]
    latency = [f"{_median(load.p50 for load in loads):.0f}", f"{_median(load.p99 for load in loads):.0f}"]
    rate = _median(load.per_second for load in loads)
    ratios_ = sorted(each.served.load.per_second / each.alone.per_second for each in rounds)
    spread = f"{len(rounds)} rounds: {ratios_[0]:.2f} to {ratios_[-1]:.2f}"
    return [
        _line(["guard + intent", "req/s", "p50 ms", "p99 ms", "CPU ms per request"]),
        _line(["---", "---:", "---:", "---:", "---"]),
        _line([f"the models alone, {processes} processes", f"{alone_rate:.1f}", "", "", f"{alone_ms:.1f}"]),
        _line([f"the gateway, concurrency {loads[0].concurrency}", f"{rate:.1f}", *latency, spent]),
        _line(["ratio (goal: at least 0.80)", f"{statistics.median(ratios_):.2f} ({spread})", "", "", ""]),
    ]


def tuning(found: Sequence[Setting]) -> list[str]:
    """Returns the medians of the rounds, a line a setting."""
    concurrencies = [load.concurrency for load in found[0].loads]
    head = [*(f"c={c}: req/s" for c in concurrencies), *(f"c={c}: p50 / p99 ms" for c in concurrencies)]
    lines = [
        _line(["instances", "threads", "max_queue_delay", *head]),
        _line(["---:", "---:", "---", *["---:"] * len(head)]),
    ]
    for name in dict.fromkeys(setting.name for setting in found):
        rounds = [setting.loads for setting in found if setting.name == name]
        columns = [[loads[index] for loads in rounds] for index in range(len(concurrencies))]
        rates = [f"{_median(load.per_second for load in column):.1f}" for column in columns]
        latencies = [
            f"{_median(load.p50 for load in column):.0f} / {_median(load.p99 for load in column):.0f}"
            for column in columns
        ]
        lines.append(_line([*map(str, name), *rates, *latencies]))
    return lines


def _median(values: Iterable[float]) -> float:
    return statistics.median(list(values))


def _memory(memory: Mapping[str, tuple[int, ...]]) -> str:
    """Returns, for example, `envoy 52; extproc 2 x 71`."""
    parts = []
    for name, sizes in memory.items():
        mean = sum(sizes) / max(len(sizes), 1) / MB
        parts.append(f"{name} {len(sizes)} x {mean:.0f}" if len(sizes) > 1 else f"{name} {mean:.0f}")
    return "; ".join(parts)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

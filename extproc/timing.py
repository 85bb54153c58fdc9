"""The timing of a request, for the access log and for the header x-arch-timing. Pure; used by request_stream.py.

    filter_ms    the gateway's own time: the decision without its waits
    models_ms    the wait for models, of which, as far as the models report it:
    queue_ms       behind other requests at the server
    compute_ms     for the model itself
    network_ms     for the round trip
    api_ms       the wait for APIs

Overlapping calls are counted once: shared time belongs to the call that ended last. So no part is longer than the
whole, and filter_ms, models_ms and api_ms add up to the decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, TypeVar

from extproc.request_stats import ApiCall, ModelCall, RequestStats
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role

# Keeps the header readable. Envoy adds one more entry, `upstream`.
_MAX_ENTRIES: Final = 31

_BEGAN: Final = attrgetter("began")
_ENDED: Final = attrgetter("ended")

_Call = TypeVar("_Call", bound=ModelCall | ApiCall)


def dynamic_metadata(stats: RequestStats, ended: float, *, header: bool) -> dict[str, str]:
    """Returns the timing of a decision that was made at `ended`, in seconds of `time.perf_counter()`.

    With `header`, `timing` is the value of x-arch-timing.
    """
    filter_ms = (ended - stats.began) * 1000 - _waited_ms([*stats.models, *stats.apis])
    metadata = {"filter_ms": _text(filter_ms)}
    calls = sorted(stats.models, key=_BEGAN)
    if calls:
        models_ms, parts = _model_ms(calls)
        metadata["models_ms"] = _text(models_ms)
        for name, part_ms in parts.items():
            metadata[f"{name}_ms"] = _text(part_ms)
        served = dict.fromkeys(f"{call.role}={call.place}" for call in calls if not call.reason)
        skipped = dict.fromkeys(f"{call.role}@{call.place}:{call.reason}" for call in calls if call.reason)
        if served:
            metadata["served"] = ",".join(served)
        if skipped:
            metadata["skipped"] = ",".join(skipped)
    if stats.apis:
        metadata["api_ms"] = _text(_waited_ms(stats.apis))
    if stats.degraded:
        metadata["degraded"] = ", ".join(sorted(stats.degraded))
    if header:
        metadata["timing"] = _header(filter_ms, calls, stats.apis)
    return metadata


def _header(filter_ms: float, calls: Sequence[ModelCall], apis: Sequence[ApiCall]) -> str:
    """Returns one entry for all calls of the same role, place and outcome, in the syntax of Server-Timing.

    https://www.w3.org/TR/server-timing/#the-server-timing-header-field
    """
    groups: dict[tuple[Role, Place, str], list[ModelCall]] = {}
    for call in calls:
        groups.setdefault((call.role, call.place, call.reason), []).append(call)
    last = [f"api;dur={_text(_waited_ms(apis))}"] if apis else []
    entries = [f"filter;dur={_text(filter_ms)}", *(_entry(*key, group) for key, group in groups.items())]
    return ", ".join((*entries[: _MAX_ENTRIES - len(last)], *last))


def _entry(role: Role, place: Place, reason: str, calls: Sequence[ModelCall]) -> str:
    total_ms, parts = _model_ms(calls)
    entry = f"{role};dur={_text(total_ms)};place={place}"
    if len(calls) > 1:
        entry += f";calls={len(calls)}"
    if reason:
        entry += f";error={reason}"
    return entry + "".join(f";{name}={_text(part_ms)}" for name, part_ms in parts.items())


def _model_ms(calls: Sequence[ModelCall]) -> tuple[float, Mapping[str, float]]:
    """Returns the wait for `calls`, and its parts as far as the successful calls report them."""
    total_ms = 0.0
    parts: dict[str, float] = {}
    for call, waited_ms in _waits(calls):
        total_ms += waited_ms
        if call.reason:
            continue
        call_ms, queue = call.total_ms, call.queue_ms
        compute = min(call.compute_ms or 0.0, call_ms)
        reported = {"network": min(call.network_ms, call_ms - compute)}
        if queue is not None:
            reported = {"queue": queue, "compute": compute, **reported}
        for name, part_ms in reported.items():
            parts[name] = parts.get(name, 0.0) + part_ms * waited_ms / call_ms
    return total_ms, parts


def _waited_ms(calls: Sequence[ModelCall | ApiCall]) -> float:
    """Returns the time in which at least one of `calls` ran."""
    return sum(waited_ms for _, waited_ms in _waits(calls))


def _waits(calls: Sequence[_Call]) -> Iterator[tuple[_Call, float]]:
    """Yields each call that was waited for, with the milliseconds in which no call ran that ended later."""
    earliest = float("inf")
    for call in sorted(calls, key=_ENDED, reverse=True):
        waited_s = min(call.ended, earliest) - call.began
        if waited_s > 0:
            earliest = call.began
            yield call, waited_s * 1000


def _text(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 9.995 else f"{milliseconds:.1f}"

"""What a request cost, as its line of the access log and its client read it. Pure; used by request_stream.py.

    filter_ms    the gateway's own time: the whole decision but for what it waited for
    models_ms    how long it waited for models, and of that, as far as they say:
    queue_ms       behind other requests at the server
    compute_ms     for the model itself
    network_ms     for the way there and back
    api_ms       how long it waited for APIs

What runs at the same time is waited for once: where calls overlap, the time is that of the call that ended last. So no
part is longer than the whole, and filter_ms, models_ms and api_ms together are the decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, TypeVar

from extproc.request_stats import ApiCall, ModelCall, RequestStats
from extproc.shared.filter_config import Place, Role

# Of a header that a client can still read. One more is Envoy's, which adds `upstream`.
_MOST_ENTRIES: Final = 31

_BEGAN: Final = attrgetter("began")
_ENDED: Final = attrgetter("ended")

_Call = TypeVar("_Call", bound=ModelCall | ApiCall)


def notes(costs: RequestStats, ended: float, *, header: bool) -> dict[str, str]:
    """The notes of a decision that was made at `ended`, in `time.perf_counter()`'s seconds.

    `header`: with `timing`, which clients read as x-arch-timing.
    """
    own = (ended - costs.began) * 1000 - _waited([*costs.models, *costs.apis])
    found = {"filter_ms": _text(own)}
    calls = sorted(costs.models, key=_BEGAN)
    if calls:
        models, parts = _spent(calls)
        found["models_ms"] = _text(models)
        for name, part in parts.items():
            found[f"{name}_ms"] = _text(part)
        served = dict.fromkeys(f"{call.role}={call.place}" for call in calls if not call.reason)
        skipped = dict.fromkeys(f"{call.role}@{call.place}:{call.reason}" for call in calls if call.reason)
        if served:
            found["served"] = ",".join(served)
        if skipped:
            found["skipped"] = ",".join(skipped)
    if costs.apis:
        found["api_ms"] = _text(_waited(costs.apis))
    if costs.degraded:
        found["degraded"] = ", ".join(sorted(costs.degraded))
    if header:
        found["timing"] = _header(own, calls, costs.apis)
    return found


def _header(own: float, calls: Sequence[ModelCall], apis: Sequence[ApiCall]) -> str:
    """Server-Timing's syntax; one entry for all calls of a role that a place answered, or failed alike.

    https://www.w3.org/TR/server-timing/#the-server-timing-header-field
    """
    alike: dict[tuple[Role, Place, str], list[ModelCall]] = {}
    for call in calls:
        alike.setdefault((call.role, call.place, call.reason), []).append(call)
    last = [f"api;dur={_text(_waited(apis))}"] if apis else []
    entries = [f"filter;dur={_text(own)}", *(_entry(*kind, those) for kind, those in alike.items())]
    return ", ".join((*entries[: _MOST_ENTRIES - len(last)], *last))


def _entry(role: Role, place: Place, reason: str, calls: Sequence[ModelCall]) -> str:
    spent, parts = _spent(calls)
    entry = f"{role};dur={_text(spent)};place={place}"
    if len(calls) > 1:
        entry += f";calls={len(calls)}"
    if reason:
        entry += f";error={reason}"
    return entry + "".join(f";{name}={_text(part)}" for name, part in parts.items())


def _spent(calls: Sequence[ModelCall]) -> tuple[float, Mapping[str, float]]:
    """How many milliseconds `calls` were waited for, and for what, as far as those say that did not fail."""
    spent = 0.0
    parts: dict[str, float] = {}
    for call, waited in _each(calls):
        spent += waited
        if call.reason:
            continue
        total, queue = call.total_ms, call.queue_ms
        compute = min(call.compute_ms or 0.0, total)
        said = {"network": min(call.network_ms, total - compute)}
        if queue is not None:
            said = {"queue": queue, "compute": compute, **said}
        for name, part in said.items():
            parts[name] = parts.get(name, 0.0) + part * waited / total
    return spent, parts


def _waited(calls: Sequence[ModelCall | ApiCall]) -> float:
    """For how many milliseconds at least one of `calls` ran."""
    return sum(waited for _, waited in _each(calls))


def _each(calls: Sequence[_Call]) -> Iterator[tuple[_Call, float]]:
    """The calls that were waited for, each with how many milliseconds were so for it and for none that ended later."""
    earliest = float("inf")
    for call in sorted(calls, key=_ENDED, reverse=True):
        waited = min(call.ended, earliest) - call.began
        if waited > 0:
            earliest = call.began
            yield call, waited * 1000


def _text(milliseconds: float) -> str:
    return f"{milliseconds:.2f}" if milliseconds < 9.995 else f"{milliseconds:.1f}"

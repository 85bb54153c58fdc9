"""How a role's model at one place is said on one line, by `archgw up` and `archgw status`."""

from __future__ import annotations

from controlplane.runtime.model_status import BackendSummary


def readiness(place: BackendSummary) -> str:
    return "ready" if place.ready else f"not ready: {place.reason}"


def milliseconds(duration: float | None) -> str:
    return "-" if duration is None else f"{duration:.1f} ms"

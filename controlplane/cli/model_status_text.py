"""Formats readiness and times of a model for `archgw up` and `archgw status`."""

from __future__ import annotations

from controlplane.runtime.roles import PlaceState


def readiness(backend: PlaceState) -> str:
    return "ready" if backend.ready else f"not ready: {backend.reason}"


def milliseconds(duration: float | None) -> str:
    return "-" if duration is None else f"{duration:.1f} ms"

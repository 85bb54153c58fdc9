"""Status of a gateway with a missing service."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from controlplane.render.run_layout import RunLayout
from controlplane.runtime import status
from controlplane.runtime.gateway_state import State, save_state
from controlplane.runtime.runner import DroppedLines, Runtime, ServiceState
from extproc.shared.worker_status import WorkerStatus

STATE = State(
    mode="local-cpu",
    config="arch_config.yaml",
    since="2026-01-01T00:00:00+00:00",
    listeners=(),
    places=(),
    services=("triton", "extproc-0", "extproc-1", "envoy"),
)


class FakeRunner:
    runtime = Runtime.DOCKER

    def __init__(self, *names: str) -> None:
        self.names = names

    def services(self) -> tuple[ServiceState, ...]:
        return tuple(ServiceState(name, "RUNNING", 7, 11, "") for name in self.names)

    def dropped_lines(self) -> tuple[DroppedLines, ...]:
        return ()

    def workers(self, _: Sequence[int]) -> tuple[WorkerStatus, ...]:
        return ()


def states(layout: RunLayout, monkeypatch: pytest.MonkeyPatch, *names: str) -> tuple[bool, dict[str, str]]:
    save_state(layout, STATE)
    monkeypatch.setattr(status, "runner_of", lambda _: FakeRunner(*names))
    found = status.status(layout)
    return found.ready, {service.name: service.state for service in found.parts}


def test_removed_service_is_missing_and_the_gateway_not_ready(
    layout: RunLayout, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert states(layout, monkeypatch, "envoy", "extproc-0", "triton") == (
        False,
        {"envoy": "running", "extproc-0": "running", "extproc-1": "missing", "triton": "running"},
    )


def test_ready_with_all_services(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    ready, services = states(layout, monkeypatch, *STATE.services)
    assert ready
    assert set(services.values()) == {"running"}

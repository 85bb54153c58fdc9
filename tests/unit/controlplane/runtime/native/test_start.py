"""A native start is refused if containers run, or may run."""

from __future__ import annotations

import pytest

from controlplane.errors import RuntimeFault
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native import start
from controlplane.runtime.runner import ServiceState


class FakeRunner:
    def __init__(self, answer: tuple[ServiceState, ...] | RuntimeFault | None) -> None:
        self.answer = answer

    def services(self) -> tuple[ServiceState, ...] | None:
        if isinstance(self.answer, RuntimeFault):
            raise self.answer
        return self.answer


def test_explains_what_to_do_without_the_engine(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    fault = RuntimeFault("no Docker engine answers\nor run without containers: --runtime native")
    monkeypatch.setattr(start, "runner_of", lambda _: FakeRunner(fault))
    with pytest.raises(RuntimeFault, match=r"no Docker engine answers(?s:.*)--run-dir(?s:.*)compose\.yaml") as raised:
        start._refuse_running(layout)
    # The user chose the native runtime already.
    assert "--runtime native" not in str(raised.value)


def test_refuses_a_running_gateway(layout: RunLayout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "runner_of", lambda _: FakeRunner((ServiceState("envoy", "EXITED", None, 1, ""),)))
    with pytest.raises(RuntimeFault, match="runs already"):
        start._refuse_running(layout)
    monkeypatch.setattr(start, "runner_of", lambda _: FakeRunner(None))
    start._refuse_running(layout)

"""The lines of `archgw up` and `archgw status` about the models of each role."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from controlplane.cli import status as status_command
from controlplane.cli import up as up_command
from controlplane.cli.app import app
from controlplane.compile.plans import RoleLocation
from controlplane.runtime.gateway_state import PublicListener, State
from controlplane.runtime.model_status import RoleSummary, merge_workers
from controlplane.runtime.start_options import RunningGateway, StartOptions
from controlplane.runtime.status import Status
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role
from extproc.shared.worker_status import BackendStatus, RoleStatus, WorkerStatus

URL = "grpcs://triton.example.com:443"
PLACES = (
    RoleLocation("guard", Place.REMOTE, "Arch-Guard", URL),
    RoleLocation("guard", Place.LOCAL, "minilm-guard", "NVIDIA H200"),
)
DOWN = BackendStatus(
    place=Place.REMOTE, model="guard", ready=False, reason="refused", detail="status 401", recent_ms=(20.0,)
)
UP = BackendStatus(
    place=Place.LOCAL, model="guard", ready=True, calls=3, recent_ms=(9.0, 10.5, 30.0), queue_ms=0.25, compute_ms=8.0
)
GUARD = RoleStatus(backends=(DOWN, UP), skipped={"remote:refused": 7}, failed={"dead": 2})
ROLES: tuple[RoleSummary, ...] = merge_workers(PLACES, (WorkerStatus(roles={Role.GUARD: GUARD}),))


def lines(output: str, word: str) -> list[str]:
    return [" ".join(line.split()) for line in output.splitlines() if line.split()[:1] == [word]]


def test_up_lists_model_backend_and_latency_of_each_role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    starts: list[StartOptions] = []
    listeners = (PublicListener("ingress", "127.0.0.1", 1),)
    state = State(mode="remote", config="c", since="s", listeners=listeners, places=PLACES, services=())
    running = RunningGateway(state, ROLES, lambda: 0)

    def start(options: StartOptions, *_: object) -> RunningGateway:
        starts.append(options)
        return running

    monkeypatch.setattr(up_command, "start", start)
    done = CliRunner().invoke(app, ["up", "--run-dir", "/tmp/ag"])  # noqa: S108
    assert done.exit_code == 0, done.output
    assert [each.mode for each in starts] == ["remote"]
    assert lines(done.stdout, "guard") == [
        f"guard Arch-Guard {URL} not ready: refused p50 20.0 ms",
        "guard minilm-guard NVIDIA H200 ready p50 10.5 ms",
    ]


def test_status_lists_times_and_skips_of_each_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Status(run_dir="r", running=True, ready=False, mode="remote", config="c", since="s", roles=ROLES)
    monkeypatch.setattr(status_command, "read_status", lambda _: found)
    done = CliRunner().invoke(app, ["status"])
    assert done.exit_code == 1
    assert lines(done.stdout, "guard")[:2] == [
        f"guard Arch-Guard {URL} not ready: refused 0 20.0 ms - - refused 7",
        "guard minilm-guard NVIDIA H200 ready 3 10.5 ms 0.2 ms 8.0 ms -",
    ]
    assert "guard: no backend was available, dead 2" in done.stdout
    assert f"guard is not ready on {URL}: refused, status 401" in done.stdout
    assert '"p50_ms": 10.5' in CliRunner().invoke(app, ["status", "--json"]).stdout

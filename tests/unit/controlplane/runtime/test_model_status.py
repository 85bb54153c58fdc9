"""Model status, merged from several workers."""

from __future__ import annotations

from controlplane.compile.plans import RoleLocation
from controlplane.runtime.model_status import merge_workers, mismatch, not_ready_reason
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role
from extproc.shared.worker_status import BackendStatus, RoleStatus, WorkerStatus

URL = "grpcs://triton.example.com:443"
PLACES = (RoleLocation("guard", Place.REMOTE, "guard", URL), RoleLocation("guard", Place.LOCAL, "guard", "CPU"))


def worker(remote: BackendStatus, local: BackendStatus, **counts: dict[str, int]) -> WorkerStatus:
    return WorkerStatus(roles={Role.GUARD: RoleStatus(backends=(remote, local), **counts)})


def remote(*, ready: bool = True, reason: str = "", detail: str = "", **values: float) -> BackendStatus:
    return BackendStatus(place=Place.REMOTE, model="guard", ready=ready, reason=reason, detail=detail, **values)  # type: ignore[arg-type]


def local(*recent_ms: float, calls: int = 0) -> BackendStatus:
    return BackendStatus(place=Place.LOCAL, model="guard", ready=True, recent_ms=recent_ms, calls=calls)


def test_merges_durations_and_counts_of_all_workers() -> None:
    (guard,) = merge_workers(
        PLACES,
        (
            worker(
                remote(queue_ms=0.5, compute_ms=9.0),
                local(1, 2, calls=2),
                skipped={"remote:timeout": 2, "local:dead": 1},
            ),
            worker(remote(), local(90, calls=1), skipped={"remote:timeout": 3}, failed={"dead": 4}),
        ),
    )
    first, second = guard.places
    assert (first.where, first.p50_ms, first.queue_ms, first.compute_ms) == (URL, None, 0.5, 9.0)
    assert (second.where, second.calls, second.p50_ms) == ("CPU", 3, 2)
    assert (first.skipped, second.skipped, guard.failed) == ({"timeout": 5}, {"dead": 1}, {"dead": 4})
    assert guard.ready


def test_backend_is_ready_if_every_worker_says_so() -> None:
    down = remote(ready=False, reason="unreachable", detail="connection refused")
    (guard,) = merge_workers(PLACES, (worker(remote(), local()), worker(down, local())))
    assert [place.ready for place in guard.places] == [False, True]
    assert not_ready_reason(guard.places[0]) == f"{URL}: unreachable, connection refused"
    assert guard.ready


def test_server_messages_are_made_printable() -> None:
    (guard,) = merge_workers(
        PLACES, (worker(remote(ready=False, reason="refused", detail="\x1b[2J\n" + "x" * 999), local()),)
    )
    assert guard.places[0].detail.isprintable()
    assert len(guard.places[0].detail) < 999


def test_nothing_is_ready_without_workers() -> None:
    (guard,) = merge_workers(PLACES, ())
    assert not guard.ready
    assert "no filter worker" in guard.places[0].detail


def test_mismatch_names_the_model_and_its_backend() -> None:
    wrong = remote(ready=False, reason="mismatch", detail="expected PROB FP32 [1], found PROB FP64 [2]")
    states = merge_workers(PLACES, (worker(wrong, local()),))
    assert mismatch(states) == (
        f"guard on {URL} is not what the gateway needs: expected PROB FP32 [1], found PROB FP64 [2]"
    )
    assert mismatch(merge_workers(PLACES, (worker(remote(), local()),))) is None

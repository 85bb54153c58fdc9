"""The status of a worker's models, which `archgw` reads."""

from __future__ import annotations

from extproc.shared.filter_config import Place
from extproc.shared.roles import Role
from tests.unit.extproc.inference.servers import FakeTriton, inference, serving, unwatched

SPENT = {"count": 2, "ns": 3_000_000}


async def test_status_reports_every_backend() -> None:
    statistics = [{"inference_stats": {"success": {"count": 2}, "queue": SPENT, "compute_infer": SPENT}}]
    async with serving(FakeTriton(statistics=statistics)) as fake:
        # Nothing listens on the port of the other place: it is privileged, and reserved.
        config = inference({Place.REMOTE: "127.0.0.1:1", Place.LOCAL: fake.address}, Role.GUARD)
        async with unwatched(config) as unwatched_models:
            await unwatched_models.models.attack_probabilities(Role.GUARD, ["x"])
            found = await unwatched_models.models.status()
    remote, local = found.roles[Role.GUARD].backends
    assert (remote.place, remote.model, remote.ready, remote.reason) == (Place.REMOTE, "my-guard", False, "unreachable")
    assert "127.0.0.1:1" in remote.detail
    assert (remote.queue_ms, remote.compute_ms) == (None, None)
    assert (local.place, local.ready, local.reason, local.calls) == (Place.LOCAL, True, "", 1)
    assert len(local.recent_ms) == 1
    assert (local.queue_ms, local.compute_ms) == (1.5, 1.5)

"""What `archgw` reads of a worker's models, over the worker's own socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import msgspec

from extproc import status_service
from extproc.contract import Place, Role
from extproc.status import METHOD, WorkerStatus
from tests.unit.extproc.inference.servers import FakeTriton, inference, serving, unwatched

SPENT = {"count": 2, "ns": 3_000_000}


async def read(socket: Path) -> WorkerStatus:
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        ask: Any = channel.unary_unary(METHOD)
        return msgspec.json.decode(await ask(b""), type=WorkerStatus)


async def test_a_worker_says_of_every_placement_how_it_does(tmp_path: Path) -> None:
    statistics = [{"inference_stats": {"success": {"count": 2}, "queue": SPENT, "compute_infer": SPENT}}]
    async with serving(FakeTriton(statistics=statistics)) as fake:
        # Nothing listens on the port of the other place: it is privileged, and reserved.
        contract = inference({Place.REMOTE: "127.0.0.1:1", Place.LOCAL: fake.address}, Role.GUARD)
        async with unwatched(contract) as open_:
            server = grpc.aio.server()
            server.add_generic_rpc_handlers((status_service.handler(open_.models.status),))
            server.add_insecure_port(f"unix:{tmp_path}/s")
            await server.start()
            await open_.models.attack_probabilities(Role.GUARD, ["x"])
            found = await read(tmp_path / "s")
            await server.stop(None)
    remote, local = found.roles[Role.GUARD].placements
    assert (remote.place, remote.model, remote.ready, remote.reason) == (Place.REMOTE, "my-guard", False, "unreachable")
    assert "127.0.0.1:1" in remote.detail
    assert (remote.queue_ms, remote.compute_ms) == (None, None)
    assert (local.place, local.ready, local.reason, local.calls) == (Place.LOCAL, True, "", 1)
    assert len(local.recent_ms) == 1
    assert (local.queue_ms, local.compute_ms) == (1.5, 1.5)

"""The calls of one backend, with a client that is no server."""

from __future__ import annotations

import asyncio

import pytest

from extproc.inference.call_failures import CallFailed, FailureReason
from extproc.inference.kserve import InferRequest, InferResponse
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role
from tests.unit.extproc.inference.servers import inference, unwatched


@pytest.mark.parametrize("turns", range(8))
async def test_cancellation_is_not_lost_when_calls_fail_at_the_same_time(
    turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail = asyncio.Event()

    async def infer(_request: InferRequest, _timeout_s: float) -> InferResponse:
        await fail.wait()
        raise CallFailed(FailureReason.UNREACHABLE, "gone")

    async with unwatched(inference({Place.LOCAL: "127.0.0.1:1"}, Role.GUARD)) as models:
        backend = models.at(Role.GUARD)
        monkeypatch.setattr(backend.connection.client, "infer", infer)
        task = asyncio.create_task(backend.infer({"TEXT": ["x"] * 6}, lambda *_: None, 10.0))
        for _ in range(5):
            await asyncio.sleep(0)
        fail.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        is_running = task.cancel()
        with pytest.raises(asyncio.CancelledError if is_running else CallFailed):
            await task

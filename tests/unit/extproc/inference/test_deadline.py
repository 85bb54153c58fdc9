"""The deadline that all models of a request share."""

from __future__ import annotations

import asyncio

from extproc.inference import deadline


async def test_tasks_of_one_request_share_the_deadline() -> None:
    assert deadline.remaining_s() is None
    with deadline.limit(1000):
        first = deadline.remaining_s()
        assert first is not None
        assert 0.9 < first <= 1.0
        await asyncio.sleep(0.02)
        inside = await asyncio.create_task(_left())
        assert inside is not None
        assert inside <= first - 0.015  # the event loop counts milliseconds
    assert deadline.remaining_s() is None


async def _left() -> float | None:
    return deadline.remaining_s()

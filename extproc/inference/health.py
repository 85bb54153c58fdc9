"""Whether each backend really answers, found out by asking it; what does not is repaired where it can be.

Triton reports a model whose process died as ready for ever, so its word is not taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from extproc.inference import model_reload
from extproc.inference.backends import BackendClient
from extproc.inference.call_failures import CallFailed, Fault
from extproc.inference.model_calls import GUARDS, gauge, probe
from extproc.shared.filter_config import Place

log = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0

# How long each call may take that asks a server what it serves, and a probe over a network.
_CONTACT_S: Final = 2.0


async def watch(at: BackendClient) -> None:
    """Probes a backend once a second, and as soon as a call opened its breaker. Runs until cancelled."""
    while True:
        at.alarm.clear()
        if at.breaker.probe_due:
            await _look(at)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL_S):
                await at.alarm.wait()


async def _look(at: BackendClient) -> None:
    before = at.breaker.fault
    fault = await _fault(at)
    if fault is None and at.breaker.fault is not before:
        # A call failed meanwhile: the next probe tells.
        return
    at.probed(fault)
    if fault is None and before is not None and at.role in GUARDS:
        await _gauge(at)
    if fault is not None and fault.reason in model_reload.LOST:
        await model_reload.repair(at)


async def _fault(at: BackendClient) -> Fault | None:
    try:
        if at.breaker.fault is not None:
            # Whatever comes back may be another model.
            at.learn(await at.link.transport.describe(at.model, _CONTACT_S))
        await probe(at, _deadline_s(at))
    except CallFailed as failed:
        return failed.fault
    return None


async def _gauge(at: BackendClient) -> None:
    try:
        await gauge(at, at.timeout_s)
    except CallFailed as failed:
        # Until a long text has been read, none is known to be too long.
        fields = {"role": at.role, "place": at.place, "reason": failed.fault.reason}
        log.warning("the model's speed is unknown", extra={"fields": fields})


def _deadline_s(at: BackendClient) -> float:
    """Of a probe: what a call may take, and no eternity to find a network gone."""
    return at.timeout_s if at.place is Place.LOCAL else min(at.timeout_s, _CONTACT_S)

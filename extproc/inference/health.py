"""Probes each backend with a real inference, and reloads a model that its server has lost.

Triton's readiness is unreliable: it reports a model whose process died as ready for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from extproc.inference import model_reload
from extproc.inference.backend_client import BackendClient
from extproc.inference.call_failures import CallFailed, Failure
from extproc.inference.model_calls import measure_reading_speed, probe
from extproc.shared.filter_config import Place
from extproc.shared.roles import ROLES

log = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0

# Timeout of each metadata call, and of a probe over a network.
_REMOTE_TIMEOUT_S: Final = 2.0


async def watch(backend: BackendClient) -> None:
    """Probes a backend once a second, and at once after a call opened its breaker. Runs until cancelled."""
    while True:
        backend.probe_now.clear()
        if backend.breaker.probe_due:
            await _probe(backend)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(INTERVAL_S):
                await backend.probe_now.wait()


async def _probe(backend: BackendClient) -> None:
    before = backend.breaker.failure
    failure = await _probe_failure(backend)
    if failure is None and backend.breaker.failure is not before:
        # A call failed meanwhile: the next probe decides.
        return
    backend.record_probe(failure)
    if failure is None and before is not None and ROLES[backend.role].guard is not None:
        await _measure_reading_speed(backend)
    if failure is not None and failure.reason in model_reload.LOST:
        await model_reload.reload(backend)


async def _probe_failure(backend: BackendClient) -> Failure | None:
    try:
        if backend.breaker.failure is not None:
            # The server may come back with another model.
            metadata = await backend.connection.client.model_metadata(backend.model, _REMOTE_TIMEOUT_S)
            backend.apply_metadata(metadata)
        await probe(backend, _timeout_s(backend))
    except CallFailed as failed:
        return failed.failure
    return None


async def _measure_reading_speed(backend: BackendClient) -> None:
    try:
        await measure_reading_speed(backend, backend.timeout_s)
    except CallFailed as failed:
        # Until a call has read a long text, no text is refused as too long.
        fields = {"role": backend.role, "place": backend.place, "reason": failed.failure.reason}
        log.warning("reading speed unknown", extra={"fields": fields})


def _timeout_s(backend: BackendClient) -> float:
    """Returns the timeout of a probe: that of a call, but short over a network, to detect a lost network soon."""
    return backend.timeout_s if backend.place is Place.LOCAL else min(backend.timeout_s, _REMOTE_TIMEOUT_S)

"""Reloads a model that the gateway's own Triton has lost. Called by the watch of each backend (health.py).

The filter's workers are the only ones that load models in a running gateway. They send a name alone, over a unix socket
that nobody else can open, and Triton loads the model that the control plane wrote into the repository.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from extproc.inference.backend_client import BackendClient
from extproc.inference.call_failures import CallFailed, FailureReason
from extproc.inference.model_calls import probe

log = logging.getLogger(__name__)

# The failures of a lost model, and the log event of each.
LOST: Final = {
    FailureReason.DEAD: "model process died; reloading",
    FailureReason.UNLOADED: "model was unloaded; loading",
}


async def reload(backend: BackendClient) -> None:
    """Loads the model again. Does nothing if the server is not the gateway's own.

    One worker at a time does so, and only if the model is still lost once the worker has the lock: a second reload
    would break the calls that the first one restored.
    """
    lock = backend.connection.server.reload_lock
    if lock is None:
        return
    async with _try_lock(Path(lock)) as has_lock:
        reason = await _lost_reason(backend) if has_lock else None
        if reason is None:
            return
        fields: dict[str, object] = {"model": backend.model}
        log.warning(LOST[reason], extra={"fields": fields})
        try:
            if reason is FailureReason.DEAD:
                # Triton ignores a load of a model that it has loaded.
                await backend.connection.client.unload_model(backend.model)
            await backend.connection.client.load_model(backend.model)
        except CallFailed as failed:
            fields |= {"reason": failed.failure.reason, "detail": failed.failure.detail}
            log.error("model reload failed", extra={"fields": fields})
        else:
            log.warning("model reloaded", extra={"fields": fields})


async def _lost_reason(backend: BackendClient) -> FailureReason | None:
    """Returns the reason why the model is lost; None if it is not lost."""
    try:
        await probe(backend, backend.timeout_s)
    except CallFailed as failed:
        return failed.failure.reason if failed.failure.reason in LOST else None
    return None


@asynccontextmanager
async def _try_lock(path: Path) -> AsyncIterator[bool]:
    """Yields whether this process got the lock. The kernel releases it if the process dies."""
    file = await asyncio.to_thread(path.open, "a")
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        file.close()

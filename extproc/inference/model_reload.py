"""A model that its server has lost is loaded again, where the server is ours. Called by the watch of each backend.

Only the filter's workers load models in a running gateway, and only so: the name alone, over a unix socket that nobody
else can open. What is loaded is what the control plane wrote into the repository.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from extproc.inference.backends import BackendClient
from extproc.inference.call_failures import CallFailed, Reason
from extproc.inference.model_calls import probe

log = logging.getLogger(__name__)

# How a model is lost, and what the log says then.
LOST: Final = {
    Reason.DEAD: "model process died; reloading",
    Reason.UNLOADED: "model was unloaded; loading",
}


async def repair(at: BackendClient) -> None:
    """Load the model again. One worker at a time does so, and only if the model is still lost once it has the lock: a
    second reload would break the calls that the first one restored.
    """
    lock = at.link.server.repair_lock
    if lock is None:
        return
    async with _locked(Path(lock)) as first:
        reason = await _lost(at) if first else None
        if reason is None:
            return
        fields: dict[str, object] = {"model": at.model}
        log.warning(LOST[reason], extra={"fields": fields})
        try:
            if reason is Reason.DEAD:
                # Loading a loaded model does nothing.
                await at.link.transport.unload(at.model)
            await at.link.transport.load(at.model)
        except CallFailed as failed:
            fields |= {"reason": failed.fault.reason, "detail": failed.fault.detail}
            log.error("model could not be reloaded", extra={"fields": fields})
        else:
            log.warning("model reloaded", extra={"fields": fields})


async def _lost(at: BackendClient) -> Reason | None:
    """Why the model is lost; None where it is not."""
    try:
        await probe(at, at.timeout_s)
    except CallFailed as failed:
        return failed.fault.reason if failed.fault.reason in LOST else None
    return None


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[bool]:
    """Whether this process holds the lock; the kernel lets go of it should the process die."""
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

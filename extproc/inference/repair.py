"""A model's dead process is started again, where the server is ours."""

from __future__ import annotations

import asyncio
import fcntl
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from extproc.inference.asking import probe
from extproc.inference.faults import CallFailed, Reason
from extproc.inference.placed import PlacedModel

log = logging.getLogger(__name__)


async def repair(at: PlacedModel) -> None:
    """One worker at a time does this, and only if the process is still dead once it has the lock: a second reload would
    break the calls that the first one restored.
    """
    lock = at.link.server.repair_lock
    if lock is None:
        return
    async with _locked(Path(lock)) as first:
        if not first or not await _is_dead(at):
            return
        fields: dict[str, object] = {"model": at.model}
        log.warning("model process died; reloading", extra={"fields": fields})
        try:
            await at.link.transport.reload(at.model)
        except CallFailed as failed:
            fields |= {"reason": failed.fault.reason, "detail": failed.fault.detail}
            log.error("model could not be reloaded", extra={"fields": fields})
        else:
            log.warning("model reloaded", extra={"fields": fields})


async def _is_dead(at: PlacedModel) -> bool:
    try:
        await probe(at, at.timeout_s)
    except CallFailed as failed:
        return failed.fault.reason is Reason.DEAD
    return False


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

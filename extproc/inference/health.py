"""Whether each role really answers, found out by asking it; what does not is repaired where it can be.

Triton reports a model whose process died as ready for ever, so its word is not taken.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Final

import grpc

from extproc.inference.roles import Role, RoleUnavailable
from extproc.inference.triton import TritonModels, probe

log = logging.getLogger(__name__)

INTERVAL_S: Final = 1.0

# A busy model answers late; only one that is late every time is down.
TIMEOUTS_TOLERATED: Final = 2


class ModelHealth:
    """Probes every role once a second. `faults` maps a role that does not answer to the reason."""

    def __init__(self, models: TritonModels, roles: Iterable[Role]) -> None:
        self._models = models
        self.faults: dict[Role, str] = dict.fromkeys(roles, "not asked yet")
        self._roles = tuple(self.faults)
        self._timeouts = dict.fromkeys(self._roles, 0)

    async def watch(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.gather(*(self._check(role) for role in self._roles))
            await asyncio.sleep(INTERVAL_S)

    async def _check(self, role: Role) -> None:
        try:
            await probe(self._models, role)
        except RoleUnavailable as error:
            self._timeouts[role] = self._timeouts[role] + 1 if error.reason == "timeout" else 0
            if role not in self.faults and 0 < self._timeouts[role] <= TIMEOUTS_TOLERATED:
                return
            if self.faults.get(role) != error.reason:
                log.warning("model does not answer", extra={"fields": {"role": role, "reason": error.reason}})
            self.faults[role] = error.reason
            if error.reason == "dead":
                await self._repair(role)
        else:
            self._timeouts[role] = 0
            if self.faults.pop(role, None) is not None:
                log.info("model answers", extra={"fields": {"role": role}})

    async def _repair(self, role: Role) -> None:
        try:
            await self._models.repair(role)
        except grpc.aio.AioRpcError as error:
            log.error("model could not be reloaded", extra={"fields": {"role": role, "status": error.code().name}})

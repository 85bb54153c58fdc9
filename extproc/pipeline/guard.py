"""The guards of a listener: may this request go on?"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from extproc.apis.chat import ChatRequest
from extproc.contract import FailMode, Guard, GuardMode
from extproc.errors import GuardUnavailable
from extproc.inference.roles import Models, RoleUnavailable
from extproc.pipeline import screening

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`notes` are fields of the access log."""

    blocked_by: Guard | None
    notes: Mapping[str, str] = field(default_factory=dict)


class Guards:
    """All of them at once."""

    def __init__(self, models: Models, guards: Sequence[Guard]) -> None:
        self._models = models
        self.guards = tuple(guards)

    async def judge(self, request: ChatRequest) -> Verdict:
        """Raises `GuardUnavailable` where a guard that gives no verdict means block."""
        if not self.guards:
            return Verdict(None)
        texts = screening.texts(request)
        found = await asyncio.gather(*(self._one(guard, texts) for guard in self.guards))
        blocking = next((guard for guard, said in zip(self.guards, found, strict=True) if said == "blocked"), None)
        return Verdict(blocking, {"guard": "blocked" if blocking else found[0]})

    async def _one(self, guard: Guard, texts: Sequence[str]) -> str:
        if not texts:
            return "allowed"
        try:
            probabilities = await self._models.attack_probabilities(guard.role, texts)
        except RoleUnavailable as error:
            log.warning("guard gave no verdict", extra={"fields": {"reason": error.reason, "on_error": guard.on_error}})
            if guard.on_error is FailMode.ALLOW:
                return "failed_open"
            if error.reason == "timeout":
                raise GuardUnavailable(
                    "The prompt could not be checked in time: shorten it, or try again later."
                ) from error
            raise GuardUnavailable("The guard model does not answer: try again later.") from error
        if max(probabilities) < guard.threshold:
            return "allowed"
        return "shadow_blocked" if guard.mode is GuardMode.SHADOW else "blocked"

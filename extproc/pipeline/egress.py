"""The egress listener: the team's own applications ask an LLM; the gateway chooses the provider."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass

from extproc import worker_thread
from extproc.apis import chat
from extproc.decision import Decision, HttpRequest
from extproc.pipeline import screening
from extproc.pipeline.asked import Asked
from extproc.pipeline.failures import Failures
from extproc.pipeline.guard import Guards
from extproc.pipeline.refused_turns import without_refused_turns
from extproc.providers import wire
from extproc.providers.choice import Providers


@dataclass(frozen=True, slots=True)
class Egress:
    providers: Providers
    guards: Guards
    failures: Failures
    timeout_s: float

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`, `TimeoutError`."""
        asked = await worker_thread.run(request.is_large, self._parse, request)
        if not self.guards.guards:
            return await self._forward(asked)
        async with asyncio.timeout(self.timeout_s):
            return await self._guarded(asked)

    def _parse(self, request: HttpRequest) -> Asked:
        """Raises `InvalidRequest`."""
        parsed = chat.parse(request.body, is_large=request.is_large)
        if self.guards.guards:
            parsed = screening.without_refused(chat.as_read(parsed), self.guards.guards)
        return Asked(parsed, request)

    async def _guarded(self, asked: Asked) -> Decision:
        verdict = await self.guards.judge(asked.chat)
        if verdict.blocked_by is not None:
            shorter = await without_refused_turns(self.guards, asked.chat, verdict)
            if shorter is not None:
                asked = dataclasses.replace(asked, chat=shorter)
                verdict = await self.guards.judge(shorter)
        if verdict.blocked_by is None:
            decision: Decision = await self._forward(asked)
        else:
            decision = await self.failures.blocked(asked, verdict.blocked_by)
        return dataclasses.replace(decision, notes={**decision.notes, **verdict.notes})

    async def _forward(self, asked: Asked) -> Decision:
        choice = self.providers.choose(asked.http, asked.chat.model)
        messages = list(asked.chat.messages)
        forward = await worker_thread.run(asked.chat.is_large, wire.forward, asked.chat, messages, choice.provider)
        return dataclasses.replace(forward, notes={**forward.notes, **choice.notes})

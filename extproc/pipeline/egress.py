"""The egress listener: the team's own applications ask an LLM; the gateway chooses the provider."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass

from extproc import worker_thread
from extproc.decision import Decision, HttpRequest
from extproc.endpoints import chat_completions
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard import text_extraction
from extproc.pipeline.guard.guards import Guards
from extproc.pipeline.guard.refused_turns import without_refused_turns
from extproc.pipeline.request_context import RequestContext
from extproc.providers.routing import ProviderRouter
from extproc.translators import schema


@dataclass(frozen=True, slots=True)
class Egress:
    providers: ProviderRouter
    guards: Guards
    failures: ErrorHandler
    timeout_s: float

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`, `TimeoutError`."""
        asked = await worker_thread.run(request.is_large, self._parse, request)
        if not self.guards.guards:
            return await self._forward(asked)
        async with asyncio.timeout(self.timeout_s):
            return await self._guarded(asked)

    def _parse(self, request: HttpRequest) -> RequestContext:
        """Raises `InvalidRequest`."""
        parsed = chat_completions.parse(request.body, is_large=request.is_large)
        if self.guards.guards:
            parsed = text_extraction.without_refused(chat_completions.as_read(parsed), self.guards.guards)
        return RequestContext(parsed, request)

    async def _guarded(self, asked: RequestContext) -> Decision:
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

    async def _forward(self, asked: RequestContext) -> Decision:
        choice = self.providers.choose(asked.http, asked.chat.model)
        messages = list(asked.chat.messages)
        forward = await worker_thread.run(asked.chat.is_large, schema.forward, asked.chat, messages, choice.provider)
        return dataclasses.replace(forward, notes={**forward.notes, **choice.notes})

"""The egress listener: the team's own applications ask an LLM; the gateway chooses the provider."""

from __future__ import annotations

import asyncio
import dataclasses
from dataclasses import dataclass

from extproc import worker_thread
from extproc.decision import Decision, HttpRequest
from extproc.endpoints import chat_completions
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard import refused_turns
from extproc.pipeline.guard.evaluator import GuardEvaluator
from extproc.pipeline.request_context import RequestContext
from extproc.providers.routing import ProviderRouter
from extproc.translators import schema


@dataclass(frozen=True, slots=True)
class Egress:
    providers: ProviderRouter
    guards: GuardEvaluator
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
            parsed = refused_turns.drop_turns_with_refusal(chat_completions.as_read(parsed), self.guards.guards)
        return RequestContext(parsed, request)

    async def _guarded(self, asked: RequestContext) -> Decision:
        verdict = await self.guards.evaluate(asked.chat)
        if verdict.blocked_by is not None:
            shorter = await refused_turns.drop_blocked_turns(self.guards, asked.chat, verdict)
            if shorter is not None:
                asked = dataclasses.replace(asked, chat=shorter)
                verdict = await self.guards.evaluate(shorter)
        if verdict.blocked_by is None:
            decision: Decision = await self._forward(asked)
        else:
            decision = await self.failures.blocked(asked, verdict.blocked_by)
        return dataclasses.replace(decision, notes={**decision.notes, **verdict.dynamic_metadata})

    async def _forward(self, asked: RequestContext) -> Decision:
        choice = self.providers.choose(asked.http, asked.chat.model)
        messages = list(asked.chat.messages)
        forward = await worker_thread.run(asked.chat.is_large, schema.forward, asked.chat, messages, choice.provider)
        return dataclasses.replace(forward, notes={**forward.notes, **choice.notes})

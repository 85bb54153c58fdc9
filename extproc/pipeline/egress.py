"""The egress listener: the team's own applications send requests to an LLM, and the gateway chooses the provider."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from extproc import worker_thread
from extproc.decision import Decision, Forward, HttpRequest
from extproc.endpoints.endpoint import Endpoint
from extproc.pipeline.request_context import RequestContext
from extproc.pipeline.request_stages import RequestStages, with_metadata
from extproc.providers.routing import ProviderRouter
from extproc.translators import registry


@dataclass(frozen=True, slots=True)
class Egress:
    """`timeout_s`: the deadline of the stages."""

    providers: ProviderRouter
    stages: RequestStages
    timeout_s: float

    async def decide(self, request: HttpRequest, endpoint: Endpoint) -> Decision:
        """Raises `GatewayError`, `TimeoutError`."""
        context = await worker_thread.run(request.is_large, self.stages.parse, request, endpoint)
        if not self.stages.stages:
            return await self._forward(context)
        async with asyncio.timeout(self.timeout_s):
            result = await self.stages.run(context)
            decision: Decision = result.reply or await self._forward(result.context)
            return with_metadata(decision, result.dynamic_metadata)

    async def _forward(self, context: RequestContext) -> Forward:
        chat = context.chat
        choice = self.providers.choose(context.http, chat.model)
        forward = await worker_thread.run(chat.is_large, registry.forward, chat, chat.messages, choice.provider)
        return with_metadata(forward, choice.dynamic_metadata)

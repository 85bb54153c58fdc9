"""One gateway as the filter serves it: the parts of a contract put together, and who decides on which request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from extproc.apis.chat import encode_json
from extproc.contract import FilterContract, Prompting
from extproc.decision import Decision, HttpRequest, Reply
from extproc.errors import MethodNotAllowed, NotFound
from extproc.inference.health import ModelHealth
from extproc.inference.roles import Role
from extproc.inference.triton import TritonModels
from extproc.pipeline.egress import Egress
from extproc.pipeline.ingress import Ingress
from extproc.pipeline.intent import TargetIndex
from extproc.targets.http import Endpoints

CHAT: Final = "/v1/chat/completions"
HEALTH: Final = "/healthz"


@dataclass(frozen=True, slots=True)
class PromptService:
    """Ingress with what it waits for before it can decide."""

    ingress: Ingress
    health: ModelHealth
    targets: TargetIndex


@dataclass(frozen=True, slots=True)
class Gateway:
    max_request_bytes: int
    request_timeout_s: float
    egress: Egress
    prompts: PromptService | None

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`."""
        match request.path, request.method:
            case (path, "POST") if path == CHAT:
                return await self._decider(request.listener).decide(request)
            case (path, "GET" | "HEAD") if path == HEALTH:
                return self._health()
            case (path, _) if path in {CHAT, HEALTH}:
                raise MethodNotAllowed(f"{request.method} is not served at {path}.")
        raise NotFound("Nothing is served at this path.")

    def _decider(self, listener: str) -> Egress | Ingress:
        if listener == "egress":
            return self.egress
        if listener == "ingress" and self.prompts is not None:
            return self.prompts.ingress
        raise NotFound("This listener serves no prompts.")

    def _health(self) -> Reply:
        not_ready: dict[str, str] = {}
        if self.prompts is not None:
            not_ready = {str(role): reason for role, reason in self.prompts.health.faults.items()}
            if not self.prompts.targets.ready:
                not_ready["targets"] = "waiting for their embeddings"
        body = encode_json({"status": "not ready", "not_ready": not_ready} if not_ready else {"status": "ready"})
        return Reply(503 if not_ready else 200, body, "healthz")


@asynccontextmanager
async def open_gateway(contract: FilterContract) -> AsyncIterator[Gateway]:
    """The gateway with its connections, and with the tasks that keep watch over its models.

    Should one of those fail, the whole does: a worker that no longer knows its models is of less use than a new one.
    """
    async with AsyncExitStack() as connections, asyncio.TaskGroup() as watches:
        prompts = await _open_prompts(contract, contract.prompting, connections) if contract.prompting else None
        work = (prompts.health.watch(), prompts.targets.build()) if prompts else ()
        tasks = [watches.create_task(each) for each in work]
        yield Gateway(
            max_request_bytes=contract.max_request_bytes,
            request_timeout_s=contract.request_timeout_ms / 1000,
            egress=Egress(contract.providers),
            prompts=prompts,
        )
        for task in tasks:
            task.cancel()


async def _open_prompts(contract: FilterContract, prompting: Prompting, connections: AsyncExitStack) -> PromptService:
    models = TritonModels(prompting.inference)
    connections.push_async_callback(models.close)
    endpoints = Endpoints(contract.internal_socket, contract.endpoint_timeout_ms)
    connections.push_async_callback(endpoints.close)
    roles = [Role.EMBED, Role.FUNCTION, *([Role.GUARD] if prompting.jailbreak else [])]
    targets = TargetIndex(models, prompting.targets)
    ingress = Ingress(prompting, contract.providers, models, targets, endpoints)
    return PromptService(ingress, ModelHealth(models, roles), targets)

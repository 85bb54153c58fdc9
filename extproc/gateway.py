"""One gateway as the filter serves it: the parts of a contract put together, and who decides on which request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from extproc.apis.chat import encode_json
from extproc.contract import FilterContract
from extproc.decision import Decision, HttpRequest, Reply
from extproc.errors import MethodNotAllowed, NotFound
from extproc.inference.health import ModelHealth
from extproc.inference.triton import TritonModels
from extproc.pipeline.egress import Egress
from extproc.pipeline.ingress import Ingress
from extproc.pipeline.intent import TargetIndex
from extproc.targets.http import Endpoints

CHAT: Final = "/v1/chat/completions"
HEALTH: Final = "/healthz"


@dataclass(frozen=True, slots=True)
class Gateway:
    """`ingress` is None where the listener is off, `health` where no model is asked."""

    max_request_bytes: int
    egress: Egress
    ingress: Ingress | None
    health: ModelHealth | None

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
        if listener == "ingress" and self.ingress is not None:
            return self.ingress
        raise NotFound("This listener serves no prompts.")

    def _health(self) -> Reply:
        not_ready = {str(role): reason for role, reason in self.health.faults.items()} if self.health else {}
        if self.ingress is not None and not self.ingress.targets.ready:
            not_ready["targets"] = "waiting for their embeddings"
        body = encode_json({"status": "not ready", "not_ready": not_ready} if not_ready else {"status": "ready"})
        return Reply(503 if not_ready else 200, body, "healthz")


@asynccontextmanager
async def open_gateway(contract: FilterContract) -> AsyncIterator[Gateway]:
    """The gateway with its connections, and with the tasks that keep watch over its models.

    Should one of those fail, the whole does: a worker that no longer knows its models is of less use than a new one.
    """
    async with AsyncExitStack() as connections, asyncio.TaskGroup() as watches:
        ingress: Ingress | None = None
        health: ModelHealth | None = None
        tasks: list[asyncio.Task[None]] = []
        if contract.inference is not None:
            models = TritonModels(contract.inference)
            connections.push_async_callback(models.close)
            health = ModelHealth(models, contract.inference.models)
            tasks.append(watches.create_task(health.watch()))
            if contract.prompting is not None:
                endpoints = Endpoints(contract.internal_socket, contract.endpoint_timeout_ms)
                connections.push_async_callback(endpoints.close)
                targets = TargetIndex(models, contract.prompting.targets)
                tasks.append(watches.create_task(targets.build()))
                timeout_s = contract.request_timeout_ms / 1000
                ingress = Ingress(contract.prompting, contract.providers, models, targets, endpoints, timeout_s)
        yield Gateway(
            max_request_bytes=contract.max_request_bytes,
            egress=Egress(contract.providers),
            ingress=ingress,
            health=health,
        )
        for task in tasks:
            task.cancel()

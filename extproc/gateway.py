"""One gateway as the filter serves it: the parts of a config put together, and who decides on which request."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

from extproc import client_context
from extproc.decision import Decision, Forward, HttpRequest, Reply, ResponseEdit
from extproc.endpoints.chat_completions import encode_json
from extproc.errors import MethodNotAllowed, NotFound, UnsupportedEncoding
from extproc.inference import deadline
from extproc.inference.interface import Models
from extproc.inference.role_clients import RoleClients, open_models
from extproc.pipeline.egress import Egress
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.guards import Guards, Limits
from extproc.pipeline.ingress import Ingress
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.providers.routing import ProviderRouter
from extproc.shared.filter_config import FilterConfig, Listener, Role
from extproc.targets.api_client import ApiClient

CHAT: Final = "/v1/chat/completions"
HEALTH: Final = "/healthz"


@dataclass(frozen=True, slots=True)
class Gateway:
    """`ingress` and `targets` are None where the listener is off. `models_timeout_ms`: one request's."""

    max_request_bytes: int
    max_json_values: int
    egress: Egress
    ingress: Ingress | None
    targets: TargetIndex | None
    models: RoleClients
    models_timeout_ms: int
    timing_header: bool
    watch_answers: bool = False

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`."""
        match request.path, request.method:
            case (path, "POST") if path == CHAT:
                _refuse_compressed(request)
                # Models only: the last of them has answered before any API is called.
                with deadline.limit(self.models_timeout_ms), client_context.request_from(request.client):
                    decision = await self._decider(request.listener).decide(request)
                return _watched(decision) if self.watch_answers else decision
            case (path, "GET" | "HEAD") if path == HEALTH:
                return self._health()
            case (path, _) if path in {CHAT, HEALTH}:
                raise MethodNotAllowed(f"{request.method} is not served at {path}.")
        raise NotFound("Nothing is served at this path.")

    def _decider(self, listener: str) -> Egress | Ingress:
        if listener == Listener.EGRESS:
            return self.egress
        if listener == Listener.INGRESS and self.ingress is not None:
            return self.ingress
        raise NotFound("This listener serves no prompts.")

    def _health(self) -> Reply:
        not_ready = {str(role): reason for role, reason in self.models.unavailable.items()}
        if self.targets is not None and not self.targets.ready:
            not_ready["targets"] = "waiting for their embeddings"
        body = encode_json({"status": "not ready", "not_ready": not_ready} if not_ready else {"status": "ready"})
        return Reply(503 if not_ready else 200, body, "healthz")


def _watched(decision: Decision) -> Decision:
    """The answer passes through the filter, if only to be watched."""
    if isinstance(decision, Forward) and decision.edit is None:
        return dataclasses.replace(decision, edit=ResponseEdit())
    return decision


def _refuse_compressed(request: HttpRequest) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedEncoding("The request body must not be compressed: send it without `content-encoding`.")


@asynccontextmanager
async def open_gateway(config: FilterConfig) -> AsyncIterator[Gateway]:
    """The gateway with its connections, and with the tasks that keep watch over its models.

    Should one of those fail, the whole does: a worker that no longer knows its models is of less use than a new one.
    """
    async with (
        AsyncExitStack() as connections,
        open_models(config.inference) as models,
        asyncio.TaskGroup() as watches,
    ):
        endpoints = ApiClient(config.internal_socket, config.endpoint_timeout_ms)
        connections.push_async_callback(endpoints.close)
        providers = ProviderRouter(config.providers, config.unknown_model)
        failures = ErrorHandler(endpoints, config.error_target)
        timeout_s = config.request_timeout_ms / 1000
        ingress: Ingress | None = None
        targets: TargetIndex | None = None
        tasks: list[asyncio.Task[None]] = []
        if config.prompting is not None and config.inference is not None:
            nli = config.prompting.intent if Role.NLI in config.inference.roles else None
            targets = TargetIndex(models, config.prompting.targets, nli)
            tasks.append(watches.create_task(targets.keep()))
            ingress = Ingress(
                prompting=config.prompting,
                providers=providers,
                guards=_guards(config, models, Listener.INGRESS),
                understanding=IntentResolver(models, targets, config.prompting),
                endpoints=endpoints,
                failures=failures,
                timeout_s=timeout_s,
            )
        egress = Egress(providers, _guards(config, models, Listener.EGRESS), failures, timeout_s)
        yield Gateway(
            max_request_bytes=config.max_request_bytes,
            max_json_values=config.max_json_values,
            egress=egress,
            ingress=ingress,
            targets=targets,
            models=models,
            models_timeout_ms=config.inference.models_timeout_ms if config.inference else 0,
            timing_header=config.timing_header,
            watch_answers=config.watch_answers,
        )
        for task in tasks:
            task.cancel()


def _guards(config: FilterConfig, models: Models, listener: Listener) -> Guards:
    inference = config.inference
    limits = Limits(inference.reading_ms, inference.whole_bytes, inference.read_share) if inference else None
    return Guards(models, config.guards if listener in config.guarded else (), limits)

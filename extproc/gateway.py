"""The gateway of one filter config. It opens the connections, builds the listeners and decides on each request.

Used by server.py. Request stages and response stages are listed here.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final

import msgspec

from extproc import client_context
from extproc.codecs.json_values import encode_json
from extproc.decision import Decision, Forward, HttpRequest, Reply, RequestSummary, ResponseEdit
from extproc.endpoints import registry
from extproc.endpoints.endpoint import Endpoint
from extproc.errors import MethodNotAllowed, NotFound, UnsupportedEncoding
from extproc.inference import deadline
from extproc.inference.interface import Models
from extproc.inference.role_clients import RoleClients, open_models
from extproc.pipeline.egress import Egress
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.evaluator import GuardEvaluator, GuardLimits
from extproc.pipeline.guard_stage import GuardStage
from extproc.pipeline.ingress import Ingress
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.pipeline.request_stages import RequestStages
from extproc.providers.routing import ProviderRouter
from extproc.response_stages.conversation_state import state_stage
from extproc.response_stages.stage import ResponseContext, ResponseStage, StageFactory, open_stages
from extproc.shared.filter_config import FilterConfig, Listener
from extproc.shared.roles import Role
from extproc.targets.api_client import ApiClient
from extproc.translators.registry import translation_stage

HEALTH: Final = "/healthz"

# Their order is that of a response on its way back: from the provider's schema to the client's API.
RESPONSE_STAGES: Final[tuple[StageFactory, ...]] = (translation_stage, state_stage, registry.endpoint_stage)


@dataclass(frozen=True, slots=True)
class Gateway:
    """`ingress` and `targets` are None if the ingress listener is off.

    `models_timeout_ms`: the deadline for all model calls of one request. `watch_answers`: every response passes through
    the filter.
    """

    max_request_bytes: int
    max_json_values: int
    egress: Egress
    ingress: Ingress | None
    targets: TargetIndex | None
    models: RoleClients
    models_timeout_ms: int
    timing_header: bool
    watch_answers: bool = False
    stage_factories: tuple[StageFactory, ...] = RESPONSE_STAGES

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`, `TimeoutError`."""
        if request.path == HEALTH:
            return self._health(request.method)
        endpoint = registry.find(request.method, request.path)
        _refuse_compressed(request)
        # The deadline is for models only: the last model has answered before any API is called.
        with deadline.limit(self.models_timeout_ms), client_context.request_from(request.client):
            decision = await self._listener(request.listener).decide(request, endpoint)
        return self._for_response_half(decision, request, endpoint)

    def response_stages(self, context: ResponseContext) -> Sequence[ResponseStage]:
        """Returns the stages of a response, in order."""
        return open_stages(self.stage_factories, context)

    def _listener(self, listener: str) -> Egress | Ingress:
        if listener == Listener.EGRESS:
            return self.egress
        if listener == Listener.INGRESS and self.ingress is not None:
            return self.ingress
        raise NotFound("This listener serves no prompts.")

    def _for_response_half(self, decision: Decision, request: HttpRequest, endpoint: Endpoint) -> Decision:
        """Adds a summary of the request, if the response passes through the filter at all."""
        if not isinstance(decision, Forward):
            return decision
        edit = decision.edit
        if edit is None:
            if not self.watch_answers and endpoint.response_stage() is None:
                return decision
            edit = ResponseEdit()
        summary = RequestSummary(
            path=request.path, listener=request.listener, request_id=request.request_id, client=request.client
        )
        return dataclasses.replace(decision, edit=msgspec.structs.replace(edit, request=summary))

    def _health(self, method: str) -> Reply:
        if method not in {"GET", "HEAD"}:
            raise MethodNotAllowed(f"{method} is not served at {HEALTH}.")
        not_ready = {str(role): reason for role, reason in self.models.unavailable.items()}
        if self.targets is not None and not self.targets.ready:
            not_ready["targets"] = "waiting for their embeddings"
        body = encode_json({"status": "not ready", "not_ready": not_ready} if not_ready else {"status": "ready"})
        return Reply(503 if not_ready else 200, body, "healthz")


def _refuse_compressed(request: HttpRequest) -> None:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"", "identity"}:
        raise UnsupportedEncoding("The request body must not be compressed: send it without `content-encoding`.")


@asynccontextmanager
async def open_gateway(config: FilterConfig) -> AsyncIterator[Gateway]:
    """Opens the gateway with its connections, and with the tasks that watch its models.

    If one of these tasks fails, the gateway fails: a worker that no longer knows the state of its models must be
    replaced.
    """
    async with (
        AsyncExitStack() as connections,
        open_models(config.inference) as models,
        asyncio.TaskGroup() as watches,
    ):
        api_client = ApiClient(config.internal_socket, config.endpoint_timeout_ms)
        connections.push_async_callback(api_client.close)
        providers = ProviderRouter(config.providers, config.unknown_model)
        errors = ErrorHandler(api_client, config.error_target)
        timeout_s = config.request_timeout_ms / 1000
        ingress: Ingress | None = None
        targets: TargetIndex | None = None
        tasks: list[asyncio.Task[None]] = []
        if config.prompting is not None and config.inference is not None:
            nli = config.prompting.intent if Role.NLI in config.inference.roles else None
            targets = TargetIndex(models, config.prompting.targets, nli)
            tasks.append(watches.create_task(targets.run()))
            ingress = Ingress(
                prompting=config.prompting,
                providers=providers,
                stages=_request_stages(config, models, errors, Listener.INGRESS),
                intent_resolver=IntentResolver(models, targets, config.prompting),
                api_client=api_client,
                errors=errors,
                timeout_s=timeout_s,
            )
        egress = Egress(providers, _request_stages(config, models, errors, Listener.EGRESS), timeout_s)
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


def _request_stages(config: FilterConfig, models: Models, errors: ErrorHandler, listener: Listener) -> RequestStages:
    """Returns the stages of a listener, in order."""
    guards = config.guards.get(listener, ())
    inference = config.inference
    limits = GuardLimits(inference.reading_ms, inference.whole_bytes, inference.read_share) if inference else None
    stages = (GuardStage(GuardEvaluator(models, guards, limits), errors),) if guards else ()
    return RequestStages(stages, guards, reencodes=bool(guards) or listener is Listener.INGRESS)

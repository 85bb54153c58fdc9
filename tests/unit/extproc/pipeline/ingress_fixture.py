"""An ingress listener for tests, with fake models and fake prompt target endpoints."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from extproc.decision import Decision, Forward, HttpRequest, Reply
from extproc.endpoints.chat_completions import ChatCompletions
from extproc.inference.interface import FunctionCall
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.evaluator import GuardEvaluator
from extproc.pipeline.guard_stage import GuardStage
from extproc.pipeline.ingress import Ingress
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.pipeline.request_stages import RequestStages
from extproc.providers.routing import ProviderRouter
from extproc.shared.filter_config import (
    EndpointCall,
    Guard,
    Intent,
    Parameter,
    ParameterType,
    Prompting,
    Provider,
    Schema,
    Target,
)
from extproc.shared.roles import Role
from tests.unit.extproc.fakes import FakeEndpoints, FakeModels, target

DAYS = Parameter(name="days", type=ParameterType.INT, description="how many", required=True)
WEATHER = target("weather", DAYS, system_prompt="You are a forecaster.")
GUARD = Guard(name="jailbreak", role=Role.GUARD, threshold=0.5, message="Not this.")
INTENT = Intent(threshold=0.45, sure=0.6)
OPENAI = Provider(name="openai", model="gpt-4o", schema=Schema.OPENAI, cluster="provider_openai", default=True)


@dataclass
class IngressFixture:
    """Decides as an ingress listener of these settings does."""

    models: FakeModels = field(default_factory=FakeModels)
    endpoints: FakeEndpoints = field(default_factory=FakeEndpoints)
    targets: tuple[Target, ...] = (WEATHER, target("money"))
    default_target: Target | None = None
    guards: tuple[Guard, ...] = (GUARD,)
    error_target: EndpointCall | None = None
    provider: Provider = OPENAI
    timeout_s: float = 5.0
    json_values: int = 0
    stream_tool_chunks: bool = False

    async def decide(self, prompt: str | list[dict[str, Any]], **fields: object) -> Decision:
        messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
        prompting = Prompting(
            intent=INTENT,
            targets=self.targets,
            default_target=self.default_target,
            system_prompt="You are a helper.",
            stream_tool_chunks=self.stream_tool_chunks,
        )
        index = TargetIndex(self.models, self.targets)
        down, self.models.down = self.models.down, {}
        gate, self.models.embed_gate = self.models.embed_gate, None
        await index.build()
        self.models.down, self.models.embed_gate = down, gate
        self.models.called_roles.clear()
        headers = fields.pop("headers", {})
        assert isinstance(headers, dict)
        body = json.dumps({"messages": messages, **fields}).encode()
        request = HttpRequest(
            "ingress", "POST", "/v1/chat/completions", headers, body, "id", json_values=self.json_values
        )
        errors = ErrorHandler(self.endpoints, self.error_target)  # type: ignore[arg-type]
        ingress = Ingress(
            prompting=prompting,
            providers=ProviderRouter((self.provider,)),
            stages=guarded(GuardEvaluator(self.models, self.guards), errors),
            intent_resolver=IntentResolver(self.models, index, prompting),
            api_client=self.endpoints,  # type: ignore[arg-type]
            errors=errors,
            timeout_s=self.timeout_s,
        )
        return await ingress.decide(request, ChatCompletions())


def guarded(guards: GuardEvaluator, errors: ErrorHandler) -> RequestStages:
    return RequestStages((GuardStage(guards, errors),) if guards.guards else (), guards.guards)


def reply(decision: Decision) -> Reply:
    assert isinstance(decision, Reply)
    return decision


def forward(decision: Decision) -> Forward:
    assert isinstance(decision, Forward)
    return decision


def sent(decision: Decision) -> dict[str, Any]:
    body = json.loads(forward(decision).body)
    assert isinstance(body, dict)
    return body


def called(**arguments: Any) -> FakeModels:
    return FakeModels(calls=(FunctionCall("weather", arguments),))

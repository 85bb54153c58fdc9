"""The egress listener, guarded or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.decision import Decision, Forward, HttpRequest, Reply
from extproc.endpoints.chat_completions import ChatCompletions
from extproc.errors import GuardUnavailable
from extproc.pipeline.egress import Egress
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.evaluator import GuardEvaluator
from extproc.providers.routing import ProviderRouter
from extproc.shared.filter_config import EndpointCall, Guard, HttpMethod, Provider
from extproc.shared.roles import Role
from extproc.targets.api_client import ApiAnswer
from tests.unit.extproc.fakes import FakeEndpoints, FakeModels
from tests.unit.extproc.pipeline.ingress_fixture import GUARD, OPENAI, guarded

ERRORS = EndpointCall(endpoint="errors", upstream="error_target", method=HttpMethod.POST, path="/errors")


async def decide(
    models: FakeModels, endpoints: FakeEndpoints, *guards: Guard, provider: Provider = OPENAI, **fields: Any
) -> Decision:
    body = json.dumps({"messages": [{"role": "user", "content": "attack"}], **fields}).encode()
    request = HttpRequest("egress", "POST", "/v1/chat/completions", {}, body, "id")
    errors = ErrorHandler(endpoints, ERRORS)  # type: ignore[arg-type]
    egress = Egress(ProviderRouter((provider,)), guarded(GuardEvaluator(models, guards), errors), 5.0)
    return await egress.decide(request, ChatCompletions())


async def test_calls_no_model_without_guards() -> None:
    models = FakeModels(attack=1.0)
    assert isinstance(await decide(models, FakeEndpoints()), Forward)
    assert models.called_roles == []


@pytest.mark.parametrize("stream", [False, True])
async def test_egress_guards_block_a_prompt(stream: bool) -> None:
    decision = await decide(FakeModels(marker="attack"), FakeEndpoints(), GUARD, stream=stream)
    assert isinstance(decision, Reply)
    assert (decision.status, decision.dynamic_metadata["guard"]) == (200, "blocked")
    assert b"Not this." in decision.body
    assert (decision.content_type == "text/event-stream") is stream


async def test_the_error_target_answers_for_a_block_on_egress() -> None:
    endpoints = FakeEndpoints(by_path={"/errors": ApiAnswer(400, "text/plain", b"from the error target")})
    guard = replace(GUARD, forward_to_error_target=True)
    decision = await decide(FakeModels(marker="attack"), endpoints, guard)
    assert isinstance(decision, Reply)
    assert (decision.status, decision.body) == (400, b"from the error target")


async def test_an_allowed_prompt_goes_to_the_llm_and_the_access_log_says_so() -> None:
    decision = await decide(FakeModels(), FakeEndpoints(), GUARD)
    assert isinstance(decision, Forward)
    assert decision.dynamic_metadata["guard"] == "allowed"


async def test_an_unavailable_guard_blocks_on_egress() -> None:
    with pytest.raises(GuardUnavailable):
        await decide(FakeModels(down={Role.GUARD: "dead"}), FakeEndpoints(), GUARD)


async def test_messages_pass_unchanged_except_a_role_unknown_to_the_provider() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "One."},
        {"role": "system", "content": "Two."},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "{"},
        {"role": "assistant", "content": None, "refusal": "No."},
    ]
    for accepts, first in ((True, "developer"), (False, "system")):
        provider = replace(OPENAI, accepts_developer=accepts)
        decision = await decide(FakeModels(), FakeEndpoints(), provider=provider, messages=messages)
        assert isinstance(decision, Forward)
        assert json.loads(decision.body)["messages"] == [{**messages[0], "role": first}, *messages[1:]]


async def test_the_access_log_names_the_unknown_model_of_a_request() -> None:
    decision = await decide(FakeModels(), FakeEndpoints(), model="gpt-5")
    assert decision.dynamic_metadata == {"unknown_model": "gpt-5"}
    assert (await decide(FakeModels(), FakeEndpoints(), model="gpt-4o")).dynamic_metadata == {}


async def test_a_blocked_structured_request_is_a_refusal_and_so_are_its_retries() -> None:
    structured: dict[str, Any] = {"response_format": {"type": "json_object"}}
    begun = [{"role": "user", "content": "attack"}]
    retry = [{"role": "assistant", "content": ""}, {"role": "user", "content": "Correct your JSON."}]
    for messages in (begun, begun + retry, begun + retry + retry):
        decision = await decide(FakeModels(marker="attack"), FakeEndpoints(), GUARD, messages=messages, **structured)
        assert isinstance(decision, Reply)
        assert json.loads(decision.body)["choices"][0]["message"]["refusal"] == GUARD.message

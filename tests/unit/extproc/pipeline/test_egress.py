"""The egress listener, guarded or not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.decision import Decision, Forward, HttpRequest, Reply
from extproc.errors import GuardUnavailable
from extproc.inference.interface import Role
from extproc.pipeline.egress import Egress
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.guards import Guards
from extproc.providers.routing import ProviderRouter
from extproc.shared.filter_config import EndpointCall, Guard, HttpMethod, Provider
from extproc.targets.api_client import Answer
from tests.unit.extproc.fakes import FakeEndpoints, FakeModels
from tests.unit.extproc.pipeline.bench import GUARD, OPENAI

ERRORS = EndpointCall(endpoint="errors", upstream="error_target", method=HttpMethod.POST, path="/errors")


async def decide(
    models: FakeModels, endpoints: FakeEndpoints, *guards: Guard, provider: Provider = OPENAI, **fields: Any
) -> Decision:
    body = json.dumps({"messages": [{"role": "user", "content": "attack"}], **fields}).encode()
    request = HttpRequest("egress", "POST", "/v1/chat/completions", {}, body, "id")
    failures = ErrorHandler(endpoints, ERRORS)  # type: ignore[arg-type]
    return await Egress(ProviderRouter((provider,)), Guards(models, guards), failures, 5.0).decide(request)


async def test_without_guards_no_model_is_asked() -> None:
    models = FakeModels(attack=1.0)
    assert isinstance(await decide(models, FakeEndpoints()), Forward)
    assert models.asked == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_guarded_egress_blocks_as_ingress_does(stream: bool) -> None:
    decision = await decide(FakeModels(marker="attack"), FakeEndpoints(), GUARD, stream=stream)
    assert isinstance(decision, Reply)
    assert (decision.status, decision.notes["guard"]) == (200, "blocked")
    assert b"Not this." in decision.body
    assert (decision.content_type == "text/event-stream") is stream


async def test_a_block_on_egress_is_told_by_the_error_target() -> None:
    endpoints = FakeEndpoints(by_path={"/errors": Answer(400, "text/plain", b"told")})
    guard = replace(GUARD, forward_to_error_target=True)
    decision = await decide(FakeModels(marker="attack"), endpoints, guard)
    assert isinstance(decision, Reply)
    assert (decision.status, decision.body) == (400, b"told")


async def test_what_passes_the_guards_goes_to_the_llm_with_a_note() -> None:
    decision = await decide(FakeModels(), FakeEndpoints(), GUARD)
    assert isinstance(decision, Forward)
    assert decision.notes["guard"] == "allowed"


async def test_a_guard_without_a_verdict_blocks_here_too() -> None:
    with pytest.raises(GuardUnavailable):
        await decide(FakeModels(down={Role.GUARD: "dead"}), FakeEndpoints(), GUARD)


async def test_messages_pass_unchanged_but_for_a_role_that_the_provider_does_not_know() -> None:
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


async def test_the_log_says_which_unknown_model_was_asked_for() -> None:
    decision = await decide(FakeModels(), FakeEndpoints(), model="gpt-5")
    assert decision.notes == {"unknown_model": "gpt-5"}
    assert (await decide(FakeModels(), FakeEndpoints(), model="gpt-4o")).notes == {}


async def test_a_blocked_structured_request_is_a_refusal_and_so_are_its_retries() -> None:
    structured: dict[str, Any] = {"response_format": {"type": "json_object"}}
    begun = [{"role": "user", "content": "attack"}]
    retry = [{"role": "assistant", "content": ""}, {"role": "user", "content": "Correct your JSON."}]
    for messages in (begun, begun + retry, begun + retry + retry):
        decision = await decide(FakeModels(marker="attack"), FakeEndpoints(), GUARD, messages=messages, **structured)
        assert isinstance(decision, Reply)
        assert json.loads(decision.body)["choices"][0]["message"]["refusal"] == GUARD.message

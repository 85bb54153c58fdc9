"""Several calls for one prompt: concurrent, in order, failing together."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from extproc.conversation import state
from extproc.errors import ApiError, ApiTimeout
from extproc.inference.interface import FunctionCall
from extproc.shared.filter_config import JsonValue
from extproc.targets.api_client import MAX_ANSWER_BYTES, ApiAnswer
from tests.unit.extproc.fakes import FakeEndpoints, FakeModels, target
from tests.unit.extproc.pipeline.ingress_fixture import DAYS, IngressFixture, called, forward, reply, sent

BOTH = "weather and money"
TWO = FakeModels(calls=(FunctionCall("weather", {"days": 3}), FunctionCall("money", {})))
ANSWERS = {
    "/weather": ApiAnswer(200, "application/json", b'"sun"'),
    "/money": ApiAnswer(200, "application/json", b'"5"'),
}


def state_after(*targets: str) -> dict[str, str]:
    calls = [
        {"id": "call_arch_1", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in targets
    ]
    messages = [{"role": "assistant", "content": "", "tool_calls": calls}]
    return {state.KEY: json.dumps({"messages": json.dumps(messages)})}


async def test_calls_run_concurrently() -> None:
    bench = IngressFixture(models=TWO, endpoints=FakeEndpoints(gate=asyncio.Event()))
    deciding = asyncio.create_task(bench.decide(BOTH))
    async with asyncio.timeout(5):
        while len(bench.endpoints.calls) < 2:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0)
    assert bench.endpoints.finished == 0
    assert bench.endpoints.gate
    bench.endpoints.gate.set()
    forward(await deciding)


async def test_answers_keep_the_order_of_the_calls() -> None:
    decision = forward(await IngressFixture(models=TWO, endpoints=FakeEndpoints(by_path=dict(ANSWERS))).decide(BOTH))
    assert sent(decision)["messages"][-1]["content"] == (
        f'{BOTH}\ncontext: weather {{"days":3}}: "sun"\ncontext: money {{}}: "5"'
    )
    assert decision.edit
    assert [(call.name, call.answer) for call in decision.edit.calls] == [("weather", '"sun"'), ("money", '"5"')]
    assert len({call.call_id for call in decision.edit.calls}) == 2
    assert decision.dynamic_metadata["target"] == "weather, money"


async def test_system_prompts_of_all_targets_are_used_once_each() -> None:
    targets = (
        target("weather", DAYS, system_prompt="A."),
        target("money", system_prompt="B."),
        target("cash", system_prompt="A."),
    )
    models = FakeModels(calls=(FunctionCall("weather", {"days": 3}), FunctionCall("money", {})))
    messages = sent(await IngressFixture(models=models, targets=targets).decide(BOTH))["messages"]
    assert messages[0]["content"] == "A.\n\nB."


async def test_one_target_without_llm_dispatch_skips_the_llm_for_all() -> None:
    targets = (target("weather", DAYS), target("money", dispatch=False))
    bench = IngressFixture(models=TWO, targets=targets, endpoints=FakeEndpoints(by_path=dict(ANSWERS)))
    answer = json.loads(reply(await bench.decide(BOTH)).body)
    assert answer["choices"][0]["message"]["content"] == '"sun"\n"5"'
    assert len(state.load(answer["metadata"]).messages) == 3


@pytest.mark.parametrize(
    "fault", [ApiError("Endpoint `api` (POST /money) answered with status 404.", 404), ApiTimeout("Too late.")]
)
async def test_one_failure_fails_the_request_and_cancels_no_other_call(fault: ApiError | ApiTimeout) -> None:
    endpoints = FakeEndpoints(by_path={"/money": fault})
    failed = reply(await IngressFixture(models=TWO, endpoints=endpoints).decide(BOTH))
    assert failed.status == fault.status
    assert ("x-function-error-code", str(fault.status)) in failed.headers
    assert json.loads(failed.body)["error"]["message"] == f"{fault.public_message} Request id: id."
    assert endpoints.finished == 2


async def test_first_of_several_failures_is_reported() -> None:
    endpoints = FakeEndpoints(by_path={"/weather": ApiError("A", 404), "/money": ApiError("B", 500)})
    assert reply(await IngressFixture(models=TWO, endpoints=endpoints).decide(BOTH)).status == 404


async def test_deadline_cancels_all_calls() -> None:
    endpoints = FakeEndpoints(gate=asyncio.Event())
    with pytest.raises(TimeoutError):
        await IngressFixture(models=TWO, endpoints=endpoints, timeout_s=0.2).decide(BOTH)
    assert len(endpoints.calls) == 2
    assert len(asyncio.all_tasks()) == 1


async def test_answers_share_one_size_limit() -> None:
    half = b"x" * (MAX_ANSWER_BYTES // 2)
    forward(await IngressFixture(models=TWO, endpoints=FakeEndpoints(body=half)).decide(BOTH))
    failed = reply(await IngressFixture(models=TWO, endpoints=FakeEndpoints(body=half + b"x")).decide(BOTH))
    assert (failed.status, failed.code) == (502, "bad_upstream_answer")


async def test_target_and_drift_headers_reach_endpoints_and_client() -> None:
    bench = IngressFixture(models=TWO)
    decision = forward(await bench.decide(BOTH, metadata=state_after("weather")))
    assert bench.endpoints.headers == [
        {"x-arch-prompt-target": "weather"},
        {"x-arch-prompt-target": "money", "x-arch-intent-drift": "true"},
    ]
    assert decision.dynamic_metadata["drift"] == "true"


@pytest.mark.parametrize(
    ("metadata", "drifts"),
    [
        ({}, False),
        (state_after(), False),
        (state_after("weather"), False),
        (state_after("weather", "money"), False),
        (state_after("money"), True),
        ({state.KEY: state.dump([], {"target": "weather"})}, False),
        ({state.KEY: state.dump([], {"target": "money"})}, True),
    ],
)
async def test_target_new_since_last_turn_is_a_drift(metadata: dict[str, str], drifts: bool) -> None:
    bench = IngressFixture(models=FakeModels(calls=(FunctionCall("weather", {"days": 3}),)))
    decision = forward(await bench.decide("weather", metadata=metadata))
    assert ("drift" in decision.dynamic_metadata) is drifts
    assert ("x-arch-intent-drift" in bench.endpoints.headers[0]) is drifts


async def test_clarification_carries_the_target_header() -> None:
    clarification = reply(
        await IngressFixture(models=FakeModels(calls=(FunctionCall("weather", {}),))).decide("weather")
    )
    assert ("x-arch-prompt-target", "weather") in clarification.headers
    plain = forward(await IngressFixture().decide("hello"))
    assert plain.dynamic_metadata.keys().isdisjoint({"target", "drift"})


TOOLS: list[JsonValue] = [{"type": "function", "function": {"name": "mine"}}]


async def test_client_tools_reach_the_llm_with_the_target_answer() -> None:
    bench = IngressFixture(models=called(days=3), stream_tool_chunks=True)
    decision = forward(await bench.decide("weather", tools=TOOLS, tool_choice="auto", stream=True))
    body = sent(decision)
    assert (body["tools"], body["tool_choice"]) == (TOOLS, "auto")
    assert "context: " in body["messages"][-1]["content"]
    assert decision.edit
    assert not decision.edit.tool_chunks


@pytest.mark.parametrize("enabled", [False, True])
async def test_stream_has_tool_chunks_only_if_configured(enabled: bool) -> None:
    bench = IngressFixture(models=called(days=3), stream_tool_chunks=enabled)
    edit = forward(await bench.decide("weather", stream=True)).edit
    assert edit
    assert edit.tool_chunks is enabled


async def test_answers_to_client_tools_pass_guards_and_go_to_the_llm() -> None:
    conversation: list[dict[str, Any]] = [
        {"role": "user", "content": "weather"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "mine"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "it rains"},
    ]
    models = FakeModels(calls=(FunctionCall("weather", {"days": 3}),))
    bench = IngressFixture(models=models, default_target=target("fallback"))
    messages = sent(await bench.decide(conversation, tools=TOOLS))["messages"]
    assert messages[1:] == conversation
    assert bench.endpoints.calls == []
    models.marker = "rains"
    assert reply(await bench.decide(conversation, tools=TOOLS)).code == "blocked"

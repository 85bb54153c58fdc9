"""Several calls of one prompt: made at once, told in their order, failing as one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from extproc.conversation import state
from extproc.errors import ApiError, ApiTimeout
from extproc.inference.interface import FunctionCall
from extproc.shared.filter_config import JsonValue
from extproc.targets.api_client import MAX_ANSWER_BYTES, Answer
from tests.unit.extproc.fakes import FakeEndpoints, FakeModels, target
from tests.unit.extproc.pipeline.bench import DAYS, Bench, called, forward, reply, sent

BOTH = "weather and money"
TWO = FakeModels(calls=(FunctionCall("weather", {"days": 3}), FunctionCall("money", {})))
ANSWERS = {"/weather": Answer(200, "application/json", b'"sun"'), "/money": Answer(200, "application/json", b'"5"')}


def state_after(*targets: str) -> dict[str, str]:
    calls = [
        {"id": "call_arch_1", "type": "function", "function": {"name": name, "arguments": "{}"}} for name in targets
    ]
    messages = [{"role": "assistant", "content": "", "tool_calls": calls}]
    return {state.KEY: json.dumps({"messages": json.dumps(messages)})}


async def test_all_calls_are_under_way_at_the_same_time() -> None:
    bench = Bench(models=TWO, endpoints=FakeEndpoints(gate=asyncio.Event()))
    deciding = asyncio.create_task(bench.decide(BOTH))
    async with asyncio.timeout(5):
        while len(bench.endpoints.calls) < 2:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0)
    assert bench.endpoints.finished == 0
    assert bench.endpoints.gate
    bench.endpoints.gate.set()
    forward(await deciding)


async def test_the_answers_are_joined_in_the_order_of_the_calls() -> None:
    decision = forward(await Bench(models=TWO, endpoints=FakeEndpoints(by_path=dict(ANSWERS))).decide(BOTH))
    assert sent(decision)["messages"][-1]["content"] == (
        f'{BOTH}\ncontext: weather {{"days":3}}: "sun"\ncontext: money {{}}: "5"'
    )
    assert decision.edit
    assert [(call.name, call.answer) for call in decision.edit.calls] == [("weather", '"sun"'), ("money", '"5"')]
    assert len({call.call_id for call in decision.edit.calls}) == 2
    assert decision.notes["target"] == "weather, money"


async def test_the_system_prompts_of_all_targets_count_once_each() -> None:
    targets = (
        target("weather", DAYS, system_prompt="A."),
        target("money", system_prompt="B."),
        target("cash", system_prompt="A."),
    )
    models = FakeModels(calls=(FunctionCall("weather", {"days": 3}), FunctionCall("money", {})))
    messages = sent(await Bench(models=models, targets=targets).decide(BOTH))["messages"]
    assert messages[0]["content"] == "A.\n\nB."


async def test_an_answer_that_one_target_keeps_from_the_llm_stays_from_it() -> None:
    targets = (target("weather", DAYS), target("money", dispatch=False))
    bench = Bench(models=TWO, targets=targets, endpoints=FakeEndpoints(by_path=dict(ANSWERS)))
    answer = json.loads(reply(await bench.decide(BOTH)).body)
    assert answer["choices"][0]["message"]["content"] == '"sun"\n"5"'
    assert len(state.load(answer["metadata"]).messages) == 3


@pytest.mark.parametrize(
    "fault", [ApiError("Endpoint `api` (POST /money) answered with status 404.", 404), ApiTimeout("Too late.")]
)
async def test_one_failure_is_the_answer_and_the_other_call_is_not_broken_off(fault: ApiError | ApiTimeout) -> None:
    endpoints = FakeEndpoints(by_path={"/money": fault})
    failed = reply(await Bench(models=TWO, endpoints=endpoints).decide(BOTH))
    assert failed.status == fault.status
    assert ("x-function-error-code", str(fault.status)) in failed.headers
    assert json.loads(failed.body)["error"]["message"] == f"{fault.public} Request id: id."
    assert endpoints.finished == 2


async def test_of_several_failures_the_first_call_s_is_told() -> None:
    endpoints = FakeEndpoints(by_path={"/weather": ApiError("A", 404), "/money": ApiError("B", 500)})
    assert reply(await Bench(models=TWO, endpoints=endpoints).decide(BOTH)).status == 404


async def test_a_deadline_breaks_all_calls_off() -> None:
    endpoints = FakeEndpoints(gate=asyncio.Event())
    with pytest.raises(TimeoutError):
        await Bench(models=TWO, endpoints=endpoints, timeout_s=0.2).decide(BOTH)
    assert len(endpoints.calls) == 2
    assert len(asyncio.all_tasks()) == 1


async def test_answers_are_bounded_together() -> None:
    half = b"x" * (MAX_ANSWER_BYTES // 2)
    forward(await Bench(models=TWO, endpoints=FakeEndpoints(body=half)).decide(BOTH))
    failed = reply(await Bench(models=TWO, endpoints=FakeEndpoints(body=half + b"x")).decide(BOTH))
    assert (failed.status, failed.code) == (502, "bad_upstream_answer")


async def test_endpoints_and_client_are_told_the_target_and_the_drift() -> None:
    bench = Bench(models=TWO)
    decision = forward(await bench.decide(BOTH, metadata=state_after("weather")))
    assert bench.endpoints.headers == [
        {"x-arch-prompt-target": "weather"},
        {"x-arch-prompt-target": "money", "x-arch-intent-drift": "true"},
    ]
    assert decision.notes["drift"] == "true"


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
async def test_a_drift_is_a_target_that_the_last_turn_did_not_have(metadata: dict[str, str], drifts: bool) -> None:
    bench = Bench(models=FakeModels(calls=(FunctionCall("weather", {"days": 3}),)))
    decision = forward(await bench.decide("weather", metadata=metadata))
    assert ("drift" in decision.notes) is drifts
    assert ("x-arch-intent-drift" in bench.endpoints.headers[0]) is drifts


async def test_our_own_replies_tell_the_target_themselves() -> None:
    asked = reply(await Bench(models=FakeModels(calls=(FunctionCall("weather", {}),))).decide("weather"))
    assert ("x-arch-prompt-target", "weather") in asked.headers
    plain = forward(await Bench().decide("hello"))
    assert plain.notes.keys().isdisjoint({"target", "drift"})


TOOLS: list[JsonValue] = [{"type": "function", "function": {"name": "mine"}}]


async def test_the_client_s_own_tools_reach_the_llm_beside_the_answer_of_a_target() -> None:
    bench = Bench(models=called(days=3), stream_tool_chunks=True)
    decision = forward(await bench.decide("weather", tools=TOOLS, tool_choice="auto", stream=True))
    body = sent(decision)
    assert (body["tools"], body["tool_choice"]) == (TOOLS, "auto")
    assert "context: " in body["messages"][-1]["content"]
    assert decision.edit
    assert not decision.edit.tool_chunks


@pytest.mark.parametrize("wanted", [False, True])
async def test_a_stream_tells_its_calls_in_chunks_only_where_the_file_says_so(wanted: bool) -> None:
    bench = Bench(models=called(days=3), stream_tool_chunks=wanted)
    edit = forward(await bench.decide("weather", stream=True)).edit
    assert edit
    assert edit.tool_chunks is wanted


async def test_answers_to_the_client_s_own_tools_go_through_the_guards_straight_to_the_llm() -> None:
    conversation: list[dict[str, Any]] = [
        {"role": "user", "content": "weather"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "function": {"name": "mine"}}]},
        {"role": "tool", "tool_call_id": "c1", "content": "it rains"},
    ]
    models = FakeModels(calls=(FunctionCall("weather", {"days": 3}),))
    bench = Bench(models=models, default_target=target("fallback"))
    messages = sent(await bench.decide(conversation, tools=TOOLS))["messages"]
    assert messages[1:] == conversation
    assert bench.endpoints.calls == []
    models.marker = "rains"
    assert reply(await bench.decide(conversation, tools=TOOLS)).code == "blocked"

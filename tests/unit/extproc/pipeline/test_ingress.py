"""Decisions of the ingress listener, with fake models and fake APIs."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from extproc import request_stats
from extproc.conversation import state
from extproc.conversation.messages import Message
from extproc.endpoints.usage import usage
from extproc.errors import ApiError, GuardUnavailable, InvalidRequest, ModelNotFound, ModelUnavailable
from extproc.inference.interface import Extraction, FunctionCall
from extproc.request_stats import Stage
from extproc.shared.filter_config import FailMode, JsonValue
from extproc.shared.roles import Role
from tests.unit.extproc.fakes import FakeEndpoints, FakeModels, target
from tests.unit.extproc.pipeline.ingress_fixture import DAYS, GUARD, IngressFixture, called, forward, reply, sent


async def test_a_prompt_without_a_target_goes_to_the_llm_with_the_system_prompt() -> None:
    ingress = IngressFixture()
    body = sent(await ingress.decide("hello"))
    assert body["messages"] == [
        {"role": "system", "content": "You are a helper."},
        {"role": "user", "content": "hello"},
    ]
    assert body["model"] == "gpt-4o"
    assert Role.FUNCTION not in ingress.models.called_roles
    assert ingress.endpoints.calls == []


async def test_a_blocked_prompt_reaches_neither_function_model_nor_api_nor_llm() -> None:
    ingress = IngressFixture(models=FakeModels(attack=0.5, calls=(FunctionCall("weather", {"days": 3}),)))
    blocked = reply(await ingress.decide("weather"))
    answer = json.loads(blocked.body)
    assert blocked.status == 200
    assert ("x-prompt-guard-error-code", "jailbreak") in blocked.headers
    assert answer["model"] == "Arch-Guard"
    assert answer["choices"][0]["message"]["content"] == "Not this."
    assert answer["choices"][0]["finish_reason"] == "content_filter"
    assert Role.FUNCTION not in ingress.models.called_roles
    assert ingress.endpoints.calls == []
    assert blocked.dynamic_metadata["guard"] == "blocked"


async def test_a_blocked_streaming_request_gets_a_stream() -> None:
    blocked = reply(await IngressFixture(models=FakeModels(attack=1.0)).decide("hello", stream=True))
    assert blocked.content_type == "text/event-stream"
    assert b"Not this." in blocked.body
    assert blocked.body.endswith(b"data: [DONE]\n\n")


async def test_a_guard_may_answer_with_a_status() -> None:
    guard = replace(GUARD, status=403)
    rejected = reply(await IngressFixture(models=FakeModels(attack=1.0), guards=(guard,)).decide("hello"))
    assert (rejected.status, rejected.code) == (403, "prompt_rejected")
    assert ("x-prompt-guard-error-code", "jailbreak") in rejected.headers
    assert json.loads(rejected.body)["error"]["message"] == "Not this."


async def test_an_unavailable_guard_blocks_or_is_logged_as_failed_open() -> None:
    with pytest.raises(GuardUnavailable):
        await IngressFixture(models=FakeModels(down={Role.GUARD: "dead"})).decide("hello")
    lenient = replace(GUARD, on_error=FailMode.ALLOW)
    passed = await IngressFixture(models=FakeModels(down={Role.GUARD: "dead"}), guards=(lenient,)).decide("hello")
    assert forward(passed).dynamic_metadata["guard"] == "failed_open"


async def test_guard_and_intent_run_at_the_same_time() -> None:
    models = FakeModels(guard_gate=asyncio.Event(), embed_gate=asyncio.Event())
    ingress = IngressFixture(models=models)
    deciding = asyncio.create_task(ingress.decide("hello"))
    async with asyncio.timeout(5):
        while set(models.called_roles) != {Role.GUARD, Role.EMBED}:  # noqa: ASYNC110 - the fake has no event to wait for
            await asyncio.sleep(0)
    assert models.guard_gate
    assert models.embed_gate
    models.guard_gate.set()
    models.embed_gate.set()
    forward(await deciding)


async def test_a_block_does_not_wait_for_the_intent() -> None:
    models = FakeModels(attack=1.0, embed_gate=asyncio.Event())
    async with asyncio.timeout(5):
        assert reply(await IngressFixture(models=models).decide("hello")).code == "blocked"


async def test_a_decision_has_a_deadline() -> None:
    with pytest.raises(TimeoutError):
        await IngressFixture(models=FakeModels(embed_gate=asyncio.Event()), timeout_s=0.05).decide("hello")


async def test_a_call_with_all_arguments_is_made_and_its_answer_is_the_llms_context() -> None:
    ingress = IngressFixture(models=called(days="3", invented=1))
    decision = forward(await ingress.decide("weather for three days"))
    assert ingress.endpoints.calls == [("/weather", {"days": 3})]
    messages = sent(decision)["messages"]
    assert messages[0] == {"role": "system", "content": "You are a forecaster."}
    assert messages[-1]["content"] == 'weather for three days\ncontext: {"temperature": 20}'
    assert decision.edit
    (made,) = decision.edit.calls
    assert (made.name, made.arguments) == ("weather", '{"days":3}')
    assert decision.dynamic_metadata["target"] == "weather"


async def test_the_function_model_sees_several_targets_only_when_they_are_close() -> None:
    seen: list[Any] = []

    class Watching(FakeModels):
        async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
            functions: Any = tools
            seen.append([tool["function"]["name"] for tool in functions])
            return Extraction()

    await IngressFixture(models=Watching()).decide("weather")
    await IngressFixture(models=Watching()).decide("weather and money")
    assert seen == [["weather"], ["weather", "money"]]


async def test_an_unsure_tool_call_becomes_a_question_if_the_intent_is_sure_else_no_call() -> None:
    guess = FakeModels(calls=(FunctionCall("weather", {"days": 3}),), confidence=0.05)
    ingress = IngressFixture(models=guess)
    assert reply(await ingress.decide("weather")).code == "ask"
    assert ingress.endpoints.calls == []
    # One word of four: a score of a half, between the threshold and being sure.
    unsure = FakeModels(calls=guess.calls, confidence=0.05, words=("weather", "money", "love", "war"))
    assert forward(await IngressFixture(models=unsure).decide("weather, money, love and war")).edit is None


async def test_a_missing_argument_is_asked_for_by_name() -> None:
    ingress = IngressFixture(models=called())
    question = reply(await ingress.decide("weather"))
    answer = json.loads(question.body)
    assert answer["model"] == "Arch-Function"
    assert answer["choices"][0]["message"]["content"] == "Could you provide the following details days ?"
    assert state.load(answer["metadata"]).question == {"target": "weather", "missing": ["days"]}
    assert ingress.endpoints.calls == []


async def test_a_streamed_question_has_its_state_in_its_first_chunk() -> None:
    question = reply(await IngressFixture(models=called()).decide("weather", stream=True))
    first, *_ = (json.loads(line[6:]) for line in question.body.splitlines() if line.startswith(b"data: {"))
    assert state.load(first["metadata"]).targets == ("weather",)


async def test_an_answer_completes_the_call_also_if_its_words_mean_another_target() -> None:
    ingress = IngressFixture(models=called(days=5))
    dialogue = [
        {"role": "user", "content": "the usual please"},
        {"role": "assistant", "model": "Arch-Function", "content": "Could you provide the following details days ?"},
        {"role": "user", "content": "five"},
    ]
    messages = sent(await ingress.decide(dialogue))["messages"]
    assert ingress.endpoints.calls == [("/weather", {"days": 5})]
    assert all("model" not in message for message in messages)


async def test_the_api_answer_of_a_target_without_llm_goes_to_the_client() -> None:
    ingress = IngressFixture(models=called(days=3), targets=(target("weather", DAYS, dispatch=False),))
    answer = json.loads(reply(await ingress.decide("weather")).body)
    assert answer["choices"][0]["message"]["content"] == '{"temperature": 20}'
    assert state.load(answer["metadata"]).messages[1]["content"] == '{"temperature": 20}'
    first, second, last = chunks_of(reply(await ingress.decide("weather", stream=True)).body)
    assert state.load(first["metadata"]).messages[1]["content"] == '{"temperature": 20}'
    assert [each["choices"][0]["delta"] for each in (first, second, last)] == [
        {"role": "assistant", "content": ""},
        {"content": '{"temperature": 20}'},
        {},
    ]
    assert len({(each["id"], each["model"]) for each in (first, second, last)}) == 1
    ingress.stream_tool_chunks = True
    old = chunks_of(reply(await ingress.decide("weather", stream=True)).body)
    assert [each["choices"][0]["delta"].get("role") for each in old] == ["assistant", "tool", "assistant", None, None]
    assert ["metadata" in each for each in old] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("ingress", "content"),
    [
        (lambda: IngressFixture(models=FakeModels(attack=1.0)), "Not this."),
        (lambda: IngressFixture(models=called()), "Could you provide the following details days ?"),
        (
            lambda: IngressFixture(models=called(days=3), targets=(target("weather", DAYS, dispatch=False),)),
            '{"temperature": 20}',
        ),
    ],
    ids=["block", "question", "api answer"],
)
async def test_answers_of_the_gateway_hold_their_usage(ingress: Callable[[], IngressFixture], content: str) -> None:
    prompt = "weather, and then the weather of tomorrow " * 500
    found = usage([{"role": "user", "content": prompt}], content)
    whole = json.loads(reply(await ingress().decide(prompt)).body)
    assert whole["usage"] == found == {"prompt_tokens": 4000, **found}
    *_, last = chunks_of(
        reply(await ingress().decide(prompt, stream=True, stream_options={"include_usage": True})).body
    )
    assert (last["choices"], last["usage"]) == ([], found)
    assert all("usage" not in chunk for chunk in chunks_of(reply(await ingress().decide(prompt, stream=True)).body))


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: {")]


async def test_the_default_target_answers_a_prompt_without_a_target() -> None:
    completion = b'{"choices":[{"message":{"role":"assistant","content":"from the api"}}]}'
    endpoints = FakeEndpoints(body=completion)
    ingress = IngressFixture(endpoints=endpoints, default_target=target("fallback", dispatch=False))
    assert reply(await ingress.decide("hello")).body == completion
    assert endpoints.calls == [("/fallback", {})]
    assert b"from the api" in reply(await ingress.decide("hello", stream=True)).body


async def test_a_default_target_without_a_completion_is_a_502() -> None:
    failed = reply(await IngressFixture(default_target=target("fallback", dispatch=False)).decide("hello"))
    assert (failed.status, failed.code) == (502, "bad_upstream_answer")


async def test_a_prompt_is_treated_as_no_match_if_intent_is_unavailable() -> None:
    ingress = IngressFixture(models=FakeModels(down={Role.EMBED: "unreachable"}))
    with request_stats.collect() as stats:
        assert forward(await ingress.decide("weather")).cluster == "provider_openai"
    assert stats.degraded == {Stage.INTENT}
    with request_stats.collect() as stats:
        await IngressFixture().decide("hello")
    assert stats.degraded == set()


async def test_a_prompt_with_a_target_fails_if_the_function_model_is_unavailable() -> None:
    with pytest.raises(ModelUnavailable):
        await IngressFixture(models=FakeModels(down={Role.FUNCTION: "dead"})).decide("weather")


async def test_a_function_model_that_abstains_leaves_the_prompt_to_the_llm() -> None:
    assert forward(await IngressFixture().decide("weather")).edit is None


CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
WITHOUT_A_USER_TURN: list[list[dict[str, Any]]] = [
    [{"role": "user", "content": "weather"}, {"role": "assistant", "content": '{"days": '}],
    [{"role": "assistant", "content": "weather"}],
    [{"role": "system", "content": "weather"}],
    [{"role": "developer", "content": "weather"}],
    [{"role": "tool", "tool_call_id": "c1", "content": "weather"}],
    [
        {"role": "user", "content": "weather"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "20"},
    ],
    [
        {"role": "user", "content": "weather"},
        {"role": "assistant", "content": None, "function_call": CALL["function"]},
        {"role": "function", "name": "f", "content": "20"},
        {"role": "system", "content": "Be brief."},
    ],
]


@pytest.mark.parametrize("messages", WITHOUT_A_USER_TURN)
async def test_the_llm_answers_if_no_user_speaks_last(messages: list[dict[str, Any]]) -> None:
    ingress = IngressFixture(models=called(days=3), default_target=target("fallback"))
    body = sent(await ingress.decide(messages))
    instructions = {"system", "developer"}
    assert body["messages"][1:] == [message for message in messages if message["role"] not in instructions]
    assert ingress.models.called_roles == [Role.GUARD]
    assert ingress.endpoints.calls == []


@pytest.mark.parametrize("role", ["assistant", "system", "developer", "function", "tool"])
async def test_an_attack_is_blocked_whoever_speaks_last(role: str) -> None:
    ending = {"role": role, "content": "Sure:"}
    models = FakeModels(marker="attack")
    for attacked in (
        [{"role": "user", "content": "an attack"}, ending],
        [{"role": "user", "content": "hello"}, {"role": "tool", "content": "an attack"}, ending],
        [{"role": "user", "content": "hello"}, {**ending, "content": "an attack"}],
        [{**ending, "content": "an attack"}],
    ):
        assert reply(await IngressFixture(models=models).decide(attacked)).code == "blocked"


async def test_gateway_messages_and_state_are_not_sent_to_the_llm() -> None:
    call = {"id": "call_arch_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    conversation: list[dict[str, Any]] = [
        {"role": "user", "content": "weather"},
        {"role": "assistant", "model": "Arch-Function", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_arch_1", "content": "20"},
        {"role": "assistant", "content": "It is 20 degrees."},
        {"role": "user", "content": "thanks"},
    ]
    metadata = {state.KEY: json.dumps({"messages": json.dumps(conversation[1:3])})}
    body = sent(await IngressFixture().decide(conversation, metadata=metadata))
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert "metadata" not in body


async def test_forged_state_is_refused_before_any_model_call() -> None:
    ingress = IngressFixture()
    with pytest.raises(InvalidRequest):
        await ingress.decide("hello", metadata={state.KEY: "forged"})
    assert ingress.models.called_roles == []


async def test_a_request_for_an_unknown_llm_has_no_effect_on_the_api() -> None:
    ingress = IngressFixture(models=called(days=3))
    with pytest.raises(ModelNotFound):
        await ingress.decide("weather", headers={"x-arch-llm-provider-hint": "nope"})
    assert ingress.endpoints.calls == []


async def test_the_default_provider_answers_for_an_unknown_model_and_the_access_log_names_it() -> None:
    assert (await IngressFixture().decide("hello", model="gpt-5")).dynamic_metadata["unknown_model"] == "gpt-5"
    assert (await IngressFixture(models=called(days=3)).decide("weather", model="gpt-5")).dynamic_metadata[
        "unknown_model"
    ] == "gpt-5"
    assert "unknown_model" not in (await IngressFixture().decide("hello", model="gpt-4o")).dynamic_metadata


async def test_an_unknown_model_does_not_matter_if_no_llm_answers() -> None:
    ingress = IngressFixture(default_target=target("fallback", dispatch=False))
    ingress.endpoints.body = b'{"choices":[{"message":{"content":"hi"}}]}'
    assert reply(await ingress.decide("hello", headers={"x-arch-llm-provider-hint": "nope"})).status == 200


async def test_a_failed_api_call_names_internals_only_in_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = ApiError("Endpoint `api` answered with status 418.", 418)
    failed = reply(await IngressFixture(models=called(days=3), endpoints=FakeEndpoints(error=error)).decide("weather"))
    assert failed.status == 418
    assert b"Endpoint" not in failed.body
    assert b"Request id: id." in failed.body
    (line,) = [record for record in caplog.records if record.getMessage() == "request failed"]
    fields = {"request_id": "id", "code": "api_error", "status": 418, "reason": error.message}
    assert line.__dict__["fields"] == fields
    assert ("x-function-error-code", "418") in failed.headers
    assert ("x-arch-prompt-target", "weather") in failed.headers
    assert failed.dynamic_metadata["target"] == "weather"


@pytest.mark.parametrize("words", [1, 5000])
async def test_a_long_text_is_counted_beside_the_event_loop(words: int, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def counted(*_: object) -> dict[str, JsonValue]:
        threads.append(threading.current_thread().name)
        return {}

    monkeypatch.setattr("extproc.pipeline.response_assembly.usage", counted)
    reply(await IngressFixture(models=FakeModels(attack=1.0)).decide("weather " * words))
    assert (threads[0] == threading.main_thread().name) is (words == 1)

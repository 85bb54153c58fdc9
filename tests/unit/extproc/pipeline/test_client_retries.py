"""Retries of structured-output clients: a question or a block is repeated until the user says something new."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
from msgspec.structs import replace

from extproc.decision import Decision, Forward
from tests.unit.extproc.fakes import FakeModels
from tests.unit.extproc.pipeline.ingress_fixture import GUARD, IngressFixture, called, forward, reply, sent

SCHEMA: Final[dict[str, Any]] = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}
FORCED: Final[dict[str, Any]] = {"tool_choice": {"type": "function", "function": {"name": "f"}}}
FIX = "Correct your JSON: 1 validation error, days 3"
QUESTION = "Could you provide the following details days ?"


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(content: str | None, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **more}


def message_and_finish(decision: Decision) -> tuple[Any, str]:
    """The message and the finish reason of a whole answer."""
    choice = json.loads(reply(decision).body)["choices"][0]
    return choice["message"], choice["finish_reason"]


async def decide(*messages: dict[str, Any], **fields: Any) -> Decision:
    return await IngressFixture(models=FakeModels(marker="attack")).decide(list(messages), **fields)


@pytest.mark.parametrize("structured", [SCHEMA, FORCED, {"tool_choice": "required"}])
async def test_a_block_is_a_refusal_without_content(structured: dict[str, Any]) -> None:
    message, finish = message_and_finish(await decide(user("an attack"), **structured))
    assert message == {"role": "assistant", "content": None, "refusal": GUARD.message}
    assert finish == "content_filter"
    message, finish = message_and_finish(await decide(user("an attack")))
    assert message == {"role": "assistant", "content": GUARD.message}


@pytest.mark.parametrize("structured", [SCHEMA, FORCED])
async def test_a_question_is_a_refusal_without_content(structured: dict[str, Any]) -> None:
    message, finish = message_and_finish(await IngressFixture(models=called()).decide("weather", **structured))
    assert message == {"role": "assistant", "content": None, "refusal": QUESTION}
    assert finish == "stop"
    message, _ = message_and_finish(await IngressFixture(models=called()).decide("weather"))
    assert message == {"role": "assistant", "content": QUESTION}


ECHOES = [
    assistant(""),
    assistant(None),
    assistant(GUARD.message),
    assistant(None, refusal=GUARD.message),
    assistant(GUARD.message, model="Arch-Guard"),
    assistant([{"type": "refusal", "refusal": GUARD.message}]),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("echo", ECHOES)
async def test_every_retry_of_a_blocked_prompt_is_blocked(echo: dict[str, Any]) -> None:
    begun = [user("hi"), assistant("Hi!"), user("an attack")]
    system = {"role": "system", "content": "Answer in JSON."}
    for retries in ([echo, user(FIX)], [echo, user(FIX), echo, user(FIX)], [echo, system, user(FIX), system]):
        assert reply(await decide(*begun, *retries, **SCHEMA)).code == "blocked"
    assert reply(await decide(*begun, user(FIX), **FORCED)).code == "blocked"


@pytest.mark.parametrize("echo", ECHOES)
async def test_a_client_without_structured_output_may_go_on_after_a_block(echo: dict[str, Any]) -> None:
    body = sent(await decide(user("an attack"), echo, user("hello")))
    assert [message["content"] for message in body["messages"]] == ["You are a helper.", "hello"]


async def test_a_structured_client_may_go_on_after_an_answer() -> None:
    words = sent(await decide(user("an attack"), assistant("Try something else."), user("hello"), **SCHEMA))
    assert [message["content"] for message in words["messages"]] == ["You are a helper.", "hello"]
    later = [user("an attack"), assistant(None), user(FIX), assistant("{}"), user("hello")]
    assert "attack" not in str(sent(await decide(*later, **SCHEMA)))


@pytest.mark.parametrize("echo", [assistant(""), assistant(None)])
async def test_a_retry_of_a_question_asks_again(echo: dict[str, Any]) -> None:
    ingress = IngressFixture(models=called())
    for retries in ([echo, user(FIX)], [echo, user(FIX), echo, user(FIX)]):
        message, _ = message_and_finish(await ingress.decide([user("weather"), *retries], **SCHEMA))
        assert message["refusal"] == QUESTION
    assert ingress.endpoints.calls == []


async def test_an_answer_to_the_question_completes_the_call() -> None:
    question = assistant(None, refusal=QUESTION, model="Arch-Function")
    ingress = IngressFixture(models=called(days=3))
    decision = await ingress.decide([user("weather"), question, user("3 days")], **SCHEMA)
    assert forward(decision).edit
    assert len(ingress.endpoints.calls) == 1
    # Not every provider knows `refusal`, and some refuse a message without content.
    assert sent(decision)["messages"][2] == assistant(QUESTION)


async def test_an_empty_answer_without_structured_output_begins_no_retry() -> None:
    conversation = [user("weather"), assistant(""), user("hello")]
    assert isinstance(await IngressFixture(models=called()).decide(conversation), Forward)


async def test_tool_calls_of_the_llm_count_as_an_answer() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for calls in ({"tool_calls": [call]}, {"function_call": call["function"]}):
        conversation = [user("weather"), assistant(None, **calls), user("hello")]
        assert isinstance(await IngressFixture(models=called()).decide(conversation, **SCHEMA), Forward)


SAID = "This prompt is not allowed here."
ERROR = "Correct your JSON: 1 validation error, line 1 column 1 [type=json_invalid, input_value={!r}]"


async def test_a_retry_that_quotes_our_refusal_is_blocked_without_structured_output() -> None:
    ingress = IngressFixture(models=FakeModels(marker="attack"), guards=(replace(GUARD, message=SAID),))
    truncated = ERROR.format(SAID[:24] + "..." + SAID[-4:])
    for retry in (ERROR.format(SAID), truncated):
        again = [assistant(SAID), user(retry)]
        for retries in (again, again + again):
            assert reply(await ingress.decide([user("an attack"), *retries])).code == "blocked"
    for new in ("hello", f"> {SAID}\nhello", f'"{SAID}"?'):
        assert isinstance(await ingress.decide([user("an attack"), assistant(SAID), user(new)]), Forward)


async def test_a_short_refusal_does_not_count_as_quoted() -> None:
    conversation = [user("an attack"), assistant(GUARD.message), user(f"it says: {GUARD.message}")]
    assert isinstance(await decide(*conversation), Forward)


async def test_a_retry_that_quotes_our_question_asks_again_without_structured_output() -> None:
    ingress = IngressFixture(models=called())
    again = [assistant(QUESTION), user(ERROR.format(QUESTION))]
    for retries in (again, again + again):
        message, _ = message_and_finish(await ingress.decide([user("weather"), *retries]))
        assert message["content"] == QUESTION
    assert ingress.endpoints.calls == []


async def test_an_answer_below_a_quoted_question_is_no_retry() -> None:
    ingress = IngressFixture(models=called(days=3))
    quoted = user(f"> {QUESTION}\n3 days")
    assert forward(await ingress.decide([user("weather"), assistant(QUESTION), quoted])).edit


async def test_a_quoted_answer_of_the_llm_is_no_retry() -> None:
    words = "Oslo is the capital of Norway."
    conversation = [user("weather"), assistant(words), user(f"why do you say {words}")]
    assert isinstance(await IngressFixture(models=called()).decide(conversation), Forward)

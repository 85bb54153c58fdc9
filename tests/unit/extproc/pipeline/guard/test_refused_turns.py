"""A turn that was blocked stays out of the conversation, whatever the client does with our refusal."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.extproc.fakes import FakeModels
from tests.unit.extproc.pipeline.ingress_fixture import IngressFixture, reply, sent


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


CALLS = assistant("", tool_calls=[{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}])
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "an attack in a result"}


async def passed(*messages: dict[str, Any]) -> list[Any]:
    """What the LLM gets of a conversation, without the system prompt of the gateway."""
    body = sent(await IngressFixture(models=FakeModels(marker="attack")).decide(list(messages)))
    assert "attack" not in str(body)
    first, *rest = body["messages"]
    assert first["role"] == "system"
    return [message.get("content") for message in rest]


@pytest.mark.parametrize("echo", ["I cannot help with that.", "", "An error occurred (refused)."])
async def test_a_later_turn_passes_without_the_blocked_one_where_the_client_changes_our_refusal(echo: str) -> None:
    assert await passed(user("an attack"), assistant(echo), user("hello")) == ["hello"]


async def test_a_later_turn_passes_where_the_client_sends_no_refusal_at_all() -> None:
    assert await passed(user("an attack"), user("hello")) == ["hello"]
    assert await passed(user("an attack"), user("one more attack"), user("hello")) == ["hello"]


async def test_what_was_said_before_and_after_stays() -> None:
    before, after = [user("hi"), assistant("Hi!")], [user("thanks"), assistant("Sure."), user("bye")]
    assert await passed(*before, user("an attack"), assistant("No."), *after) == ["hi", "Hi!", "thanks", "Sure.", "bye"]
    assert await passed(*before, user("an attack"), *after) == ["hi", "Hi!", "thanks", "Sure.", "bye"]


async def test_a_result_of_a_tool_that_was_blocked_goes_with_its_turn() -> None:
    assert await passed(user("look"), CALLS, RESULT, user("hello")) == ["hello"]


@pytest.mark.parametrize(
    "messages",
    [
        [user("an attack")],
        [user("hello"), user("an attack")],
        [user("hi"), assistant("Hi!"), user("an attack")],
        [user("an attack"), assistant("No."), user("an attack again")],
        [user("look"), CALLS, RESULT],
        [{"role": "system", "content": "an attack"}, user("hello")],
        [user("hi"), assistant("Hi!"), {"role": "system", "content": "an attack"}, user("hello")],
    ],
)
async def test_an_attack_in_the_last_turn_or_outside_of_turns_is_blocked(messages: list[dict[str, Any]]) -> None:
    assert reply(await IngressFixture(models=FakeModels(marker="attack")).decide(messages)).code == "blocked"


async def test_an_attack_that_is_cut_into_messages_stays_one_turn() -> None:
    models = FakeModels(marker="bad\nword")
    assert reply(await IngressFixture(models=models).decide([user("a bad"), user("word")])).code == "blocked"


async def test_an_attack_in_a_field_of_the_request_is_blocked_whatever_the_turns_are() -> None:
    tools = [{"type": "function", "function": {"name": "f", "description": "this is an attack in a tool"}}]
    messages = [user("an attack"), assistant("No."), user("hello")]
    assert (
        reply(await IngressFixture(models=FakeModels(marker="attack")).decide(messages, tools=tools)).code == "blocked"
    )

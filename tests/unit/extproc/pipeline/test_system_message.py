"""All system messages of a conversation are merged into one."""

from __future__ import annotations

from typing import Any

import pytest

from extproc.pipeline.system_message import merged
from tests.unit.extproc.pipeline.ingress_fixture import IngressFixture, called, sent

USER: dict[str, Any] = {"role": "user", "content": "hi"}
CHAT: dict[str, Any] = {"role": "assistant", "content": "Hello!"}


def system(content: Any, role: str = "system", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def part(text: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": text, **more}


@pytest.mark.parametrize(
    ("clients", "content"),
    [
        ([], "Ours."),
        ([system("Theirs.")], "Ours.\n\nTheirs."),
        ([system("One."), system("Two.")], "Ours.\n\nOne.\n\nTwo."),
        ([system(None), system(""), system("Two.")], "Ours.\n\nTwo."),
        ([system([part("One.", cache_control={})])], [part("Ours."), part("One.", cache_control={})]),
        ([system("One."), system([part("Two.")])], [part("Ours."), part("One."), part("Two.")]),
    ],
)
def test_the_gateway_s_text_comes_before_the_client_s(clients: list[dict[str, Any]], content: Any) -> None:
    assert merged([*clients, USER], "Ours.") == [system(content), USER]


def test_later_system_messages_move_to_the_head() -> None:
    conversation = [system("One."), USER, system("Two."), CHAT, USER, system("Three.")]
    assert merged(conversation, "Ours.") == [system("Ours.\n\nOne.\n\nTwo.\n\nThree."), USER, CHAT, USER]


def test_the_role_is_developer_if_a_client_s_message_has_it() -> None:
    for clients in ([system("One.", "developer")], [system("One."), system("", "developer")]):
        assert merged([*clients, USER], "Ours.")[0] == system("Ours.\n\nOne.", "developer")


def test_a_sole_system_message_of_the_client_stays_unchanged() -> None:
    single = system("One.", name="me")
    assert merged([single, USER], None) == [single, USER]
    assert merged([single, USER, system("Two.")], "Ours.")[0] == system("Ours.\n\nOne.\n\nTwo.", name="me")
    assert merged([USER], None) == [USER]


@pytest.mark.parametrize("prompt", ["hello", "weather"])
async def test_every_request_to_the_llm_has_one_system_message(prompt: str) -> None:
    conversation = [system("Theirs.", "developer"), {"role": "user", "content": prompt}]
    messages = sent(await IngressFixture(models=called(days=3)).decide(conversation))["messages"]
    ours = "You are a forecaster." if prompt == "weather" else "You are a helper."
    assert messages[0] == system(f"{ours}\n\nTheirs.")
    assert [message["role"] for message in messages] == ["system", "user"]

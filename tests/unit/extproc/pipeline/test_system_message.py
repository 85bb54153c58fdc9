"""One system message leaves, whatever the client's are."""

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
def test_ours_comes_first_then_the_clients(clients: list[dict[str, Any]], content: Any) -> None:
    assert merged([*clients, USER], "Ours.") == [system(content), USER]


def test_later_ones_move_to_the_head() -> None:
    conversation = [system("One."), USER, system("Two."), CHAT, USER, system("Three.")]
    assert merged(conversation, "Ours.") == [system("Ours.\n\nOne.\n\nTwo.\n\nThree."), USER, CHAT, USER]


def test_one_is_developer_where_one_of_the_clients_is() -> None:
    for clients in ([system("One.", "developer")], [system("One."), system("", "developer")]):
        assert merged([*clients, USER], "Ours.")[0] == system("Ours.\n\nOne.", "developer")


def test_without_ours_a_single_one_stays_as_it_is() -> None:
    single = system("One.", name="me")
    assert merged([single, USER], None) == [single, USER]
    assert merged([single, USER, system("Two.")], "Ours.")[0] == system("Ours.\n\nOne.\n\nTwo.", name="me")
    assert merged([USER], None) == [USER]


@pytest.mark.parametrize("said", ["hello", "weather"])
async def test_the_llm_gets_one_on_every_way(said: str) -> None:
    conversation = [system("Theirs.", "developer"), {"role": "user", "content": said}]
    messages = sent(await IngressFixture(models=called(days=3)).decide(conversation))["messages"]
    ours = "You are a forecaster." if said == "weather" else "You are a helper."
    assert messages[0] == system(f"{ours}\n\nTheirs.")
    assert [message["role"] for message in messages] == ["system", "user"]

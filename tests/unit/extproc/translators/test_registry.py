"""Requests as providers get them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from extproc.endpoints.chat_completions import ChatCompletions
from extproc.shared.filter_config import Provider, Schema
from extproc.translators import registry

PROVIDER = Provider(name="p", model="m", schema=Schema.OPENAI, cluster="provider_p")


def sent_messages(provider: Provider, *messages: dict[str, Any]) -> Any:
    request = ChatCompletions().parse(json.dumps({"messages": messages}).encode())
    body = json.loads(registry.forward(request, list(request.messages), provider).body)
    return (json.loads(body["REQUEST"]) if "REQUEST" in body else body)["messages"]


@pytest.mark.parametrize("schema", [Schema.OPENAI, Schema.TRITON])
@pytest.mark.parametrize(("accepts", "role"), [(True, "developer"), (False, "system")])
def test_the_developer_role_becomes_system_for_providers_that_do_not_know_it(
    schema: Schema, accepts: bool, role: str
) -> None:
    messages = [{"role": name, "content": "hi", "name": "n"} for name in ("developer", "system", "user", "developer")]
    sent = sent_messages(replace(PROVIDER, schema=schema, accepts_developer=accepts), *messages)
    assert sent == [{"role": name, "content": "hi", "name": "n"} for name in (role, "system", "user", role)]


def test_removes_the_model_of_a_message() -> None:
    assert sent_messages(PROVIDER, {"role": "user", "content": "hi", "model": "x"}) == [
        {"role": "user", "content": "hi"}
    ]

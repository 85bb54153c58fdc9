"""Bodies that are expensive to parse, values that would change a route, and turns after a blocked one."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpx2
import pytest

from tests.dataplane.prompts import ATTACK, user
from tests.dataplane.stack import Stack
from tests.support.api_server import ApiServer
from tests.support.behaviour import Behaviour
from tests.support.llm_provider import LlmProvider

HAIKU = "Write a haiku about autumn leaves"
KEYS = ",".join(f'"k{number}":1' for number in range(700_000))
STATE = json.dumps({"messages": "[" + "{}," * 500_000 + "{}]"})
ONE = '"messages":[{"role":"user","content":"hello"}]'

# Chooses a provider with the default timeout: on a busy machine the mock may read megabytes for longer than 3 s.
PATIENT: Final = {"x-arch-llm-provider-hint": "second"}
DENSE = {
    "700,000 keys": (f'{{{ONE},"y":{{{KEYS}}}}}', 413),
    "700,000 top-level keys": (f"{{{ONE},{KEYS}}}", 413),
    "three million objects": ('{"messages":[' + "{}," * 3_000_000 + "{}]}", 413),
    "a million messages": ('{"messages":[' + '{"role":"user"},' * 500_000 + "{}]}", 413),
    "values behind escapes": ('{"messages":["\\\\",' + '"\\\\",' * 1_000_000 + "1]}", 413),
    "4.5 million brackets": ('{"messages":' + "[" * 4_500_000 + "}", 400),
    "a number of 9 MB": ('{"messages":' + "1" * 9_000_000 + "}", 400),
    "500,000 objects in the state": (f'{{{ONE},"metadata":{{"x-arch-state":{json.dumps(STATE)}}}}}', 400),
}


def post(stack: Stack, listener: str, body: str) -> httpx2.Response:
    headers = {"content-type": "application/json"}
    return httpx2.post(f"{stack.url(listener)}/v1/chat/completions", content=body.encode(), headers=headers, timeout=60)


@pytest.mark.parametrize("kind", DENSE)
def test_dense_body_is_refused_before_it_is_parsed(stack: Stack, provider: LlmProvider, kind: str) -> None:
    body, status = DENSE[kind]
    refused = post(stack, "ingress", body)
    assert refused.status_code == status
    assert refused.json()["error"]["code"] == {413: "request_too_large", 400: "invalid_request"}[status]
    assert not provider.received.all()


def test_dense_bodies_on_ingress_fail_no_egress_request(stack: Stack, provider: LlmProvider) -> None:
    body, status = DENSE["700,000 keys"]
    with ThreadPoolExecutor(2) as clients:
        hostile = [clients.submit(post, stack, "ingress", body) for _ in range(6)]
        seen = [stack.post("egress", {"messages": user(HAIKU)}).status_code for _ in range(50)]
    assert set(seen) == {200}
    assert {each.result().status_code for each in hostile} == {status}


@pytest.mark.parametrize("listener", ["ingress", "egress"])
def test_image_of_nine_megabytes_passes_unchanged(stack: Stack, second_provider: LlmProvider, listener: str) -> None:
    url = f"data:image/png;base64,{'iVBORw0KGgo/' * 750_000}"
    content = [{"type": "text", "text": HAIKU}, {"type": "image_url", "image_url": {"url": url}}]
    assert stack.post(listener, {"messages": user(content)}, PATIENT).status_code == 200
    (llm_request,) = second_provider.received.all()
    assert llm_request.json()["messages"][-1]["content"] == content


def test_text_of_five_megabytes_of_json_signs_passes_egress(stack: Stack, second_provider: LlmProvider) -> None:
    text = '{"rows": [[1, 2, "three"], {"a": {}}], "path": "C:\\\\x"}\n' * 90_000
    assert stack.post("egress", {"messages": user(text)}, PATIENT).status_code == 200
    (llm_request,) = second_provider.received.all()
    assert llm_request.json()["messages"][-1]["content"] == text


@pytest.mark.parametrize("number", ["AB1234/invoice", "AB1234%2Finvoice", "AB1234\uff0finvoice", "../AB1234"])
def test_value_that_would_change_the_route_is_asked_for_again(
    stack: Stack, provider: LlmProvider, api: ApiServer, number: str
) -> None:
    answer = stack.post("ingress", {"messages": user(f"Where is my parcel {number}?")}).json()
    assert not api.received.all()
    assert answer["model"] == "Arch-Function"
    assert answer["choices"][0]["message"]["content"] == "Could you provide the following details tracking_number ?"


@pytest.mark.parametrize("between", [[], [{"role": "assistant", "content": "Something went wrong."}]])
def test_turn_after_a_blocked_one_passes_without_it(
    stack: Stack, provider: LlmProvider, between: list[dict[str, Any]]
) -> None:
    assert stack.post("ingress", {"messages": user(ATTACK)}).json()["model"] == "Arch-Guard"
    answer = stack.post("ingress", {"messages": [*user(ATTACK), *between, *user(HAIKU)]})
    assert answer.json()["model"] != "Arch-Guard"
    (llm_request,) = provider.received.all()
    assert [message["content"] for message in llm_request.json()["messages"][1:]] == [HAIKU]


def test_provider_and_endpoint_names_are_hidden_from_end_users_only(stack: Stack, api: ApiServer) -> None:
    hint = {"x-arch-llm-provider-hint": "nope"}
    public = stack.post("ingress", {"messages": user(HAIKU)}, hint)
    assert public.status_code == 400
    assert not [name for name in ("gpt-main", "second", "passthrough", "secure") if name in public.text]
    assert public.headers["x-request-id"] in public.text
    assert "gpt-main" in stack.post("egress", {"messages": user(HAIKU)}, hint).text
    api.next(Behaviour(status=418))
    failed = stack.post("ingress", {"messages": user("What is the weather forecast for Oslo for the next 2 days?")})
    assert failed.status_code == 418
    assert not [name for name in ("weather_api", "/weather", "Endpoint") if name in failed.text]

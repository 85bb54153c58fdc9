"""Long texts: the guard reads them, they delay no short prompt, and over the limit they are refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from bench.heavy import prose
from tests.dataplane.gateway import BLOCKED
from tests.dataplane.prompts import ATTACK
from tests.dataplane.stack import Stack
from tests.support.llm_provider import LlmProvider

_LONG_S = 60.0


def ask(stack: Stack, text: str) -> httpx2.Response:
    body = {"model": "gpt-main", "messages": [{"role": "user", "content": text}]}
    return httpx2.post(f"{stack.url('ingress')}/v1/chat/completions", json=body, timeout=_LONG_S)


def content(answer: httpx2.Response) -> Any:
    return answer.json()["choices"][0]["message"]["content"]


def test_attack_inside_a_long_text_is_blocked(stack: Stack, provider: LlmProvider) -> None:
    before = prose(15_000)
    assert content(ask(stack, f"{before}\n{ATTACK}\n{prose(15_000)}")) == BLOCKED
    assert provider.received.all() == []


def test_long_text_without_attack_reaches_the_llm_unchanged(stack: Stack, provider: LlmProvider) -> None:
    # Not `prose`: the guard flags some sentences of manuals.
    text = "".join(f"The tide of day {day} was low, and the boats came back with little fish. " for day in range(420))
    assert ask(stack, text).status_code == 200
    (llm_request,) = provider.received.all()
    assert llm_request.json()["messages"][-1]["content"] == text


@pytest.mark.parametrize("text", [prose(6_000_000), "\ufdfa" * 1_500_000], ids=["long", "long after normalization"])
def test_text_over_the_limit_is_refused(stack: Stack, provider: LlmProvider, text: str) -> None:
    answer = ask(stack, text)
    assert answer.status_code == 413
    error = answer.json()["error"]
    assert error["code"] == "context_length_exceeded"
    assert "The limit is about" in error["message"]
    assert provider.received.all() == []


def test_short_prompts_are_answered_while_a_long_text_is_read(stack: Stack) -> None:
    began, order = threading.Event(), list[str]()

    def heavy() -> None:
        began.set()
        ask(stack, prose(300_000))
        order.append("long")

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(heavy)
        began.wait()
        for number in range(5):
            answer = ask(stack, f"Tell me something about the number {number} and the tide of today.")
            assert answer.status_code == 200
            order.append("short")
        reading.result()
    assert order == ["short"] * 5 + ["long"]


def test_work_of_a_disconnected_client_is_dropped(stack: Stack) -> None:
    body = {"model": "gpt-main", "messages": [{"role": "user", "content": prose(300_000)}]}
    for _ in range(8):
        with pytest.raises(httpx2.ReadTimeout):
            httpx2.post(f"{stack.url('ingress')}/v1/chat/completions", json=body, timeout=0.4)
    # Without that, this text would wait minutes for their work, and time out.
    assert ask(stack, prose(20_000)).status_code == 200

"""Large bodies are processed beside the event loop."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from extproc import worker_thread
from extproc.conversation.chat_request import ChatRequest
from extproc.endpoints.chat_completions import ChatCompletions
from extproc.pipeline import response_assembly
from extproc.pipeline.guard import text_extraction
from tests.unit.extproc.pipeline.ingress_fixture import IngressFixture, forward


async def test_only_large_input_leaves_the_event_loop() -> None:
    here = threading.get_ident()
    assert await worker_thread.run(False, threading.get_ident) == here
    assert await worker_thread.run(True, threading.get_ident) != here


async def test_exception_in_the_thread_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        await worker_thread.run(True, lambda: 1 // 0)


@pytest.mark.parametrize(
    ("content", "large"), [("hello", False), ("hello " * 20_000, True), ([{"type": "x"}] * 600, True)]
)
async def test_large_body_is_processed_beside_the_event_loop(
    content: Any, large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: dict[str, int] = {}

    def record_thread(module: Any, name: str) -> None:
        original: Callable[..., Any] = getattr(module, name)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            threads[name] = threading.get_ident()
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, recorded)

    for module, name in (
        (ChatCompletions, "parse"),
        (ChatRequest, "reencoded"),
        (text_extraction, "extract"),
        (response_assembly, "to_llm"),
    ):
        record_thread(module, name)
    messages = [
        {"role": "user", "content": content},
        *([] if isinstance(content, str) else [{"role": "user", "content": "x"}]),
    ]
    values = json.dumps(messages).count(":") * 2
    sent = await IngressFixture(json_values=values).decide(messages)
    forward(sent)
    assert set(threads) == {"parse", "reencoded", "extract", "to_llm"}
    assert {thread != threading.get_ident() for thread in threads.values()} == {large}

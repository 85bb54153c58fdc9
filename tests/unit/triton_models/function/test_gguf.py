"""A GGUF file as the function model. The quick start's small model gives valid answers, not good ones."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from triton_models.errors import Cancelled, RequestError
from triton_models.function.arch import ArchCaller
from triton_models.function.gguf import Gguf

TOOL: dict[str, Any] = {"name": "get_weather", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture(scope="module")
def engine(weights: Mapping[str, Path]) -> Gguf:
    return Gguf(weights["smollm2"], threads=1, context=1024, max_new_tokens=24)


def test_reply_has_tool_calls_and_confidence(engine: Gguf) -> None:
    messages = [{"role": "user", "content": "What is the weather in Seattle?"}]
    request = json.dumps({"messages": messages, "tools": [{"type": "function", "function": TOOL}]})
    reply = json.loads(ArchCaller(engine.complete).reply(request, lambda: False))
    assert set(reply) == {"tool_calls", "confidence"}
    assert 0 < reply["confidence"] <= 1
    assert all(call["name"] == "get_weather" for call in reply["tool_calls"])


def test_completion_is_deterministic_and_ends_with_the_message(engine: Gguf) -> None:
    prompt = "<|im_start|>user\nRepeat: hello<|im_end|>\n<|im_start|>assistant\n"
    first = engine.complete(prompt, lambda: False)
    assert first == engine.complete(prompt, lambda: False)
    assert first.text
    assert "<|im_end|>" not in first.text
    assert first.logprob is not None
    assert first.logprob < 0


def test_too_long_prompt_raises_request_error(engine: Gguf) -> None:
    with pytest.raises(RequestError, match="context size"):
        engine.complete("word " * 4000, lambda: False)


def test_cancelled_request_stops_the_model(engine: Gguf) -> None:
    checks: list[bool] = []

    def cancelled() -> bool:
        checks.append(True)
        return len(checks) == 3

    with pytest.raises(Cancelled):
        engine.complete("<|im_start|>user\nTell me a story.<|im_end|>\n<|im_start|>assistant\n", cancelled)
    assert len(checks) <= 4


def test_folder_without_a_model_raises(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no GGUF file"):
        Gguf(tmp_path, threads=1, context=64, max_new_tokens=1)

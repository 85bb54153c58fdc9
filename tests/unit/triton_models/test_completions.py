import json
from typing import Any

import pytest

from triton_models.chat.completions import DEFAULT_MAX_TOKENS, CompletionBuilder, chunk, parse
from triton_models.errors import RequestError

HELLO = [{"role": "user", "content": "hello"}]


def ask(**fields: Any) -> dict[str, Any]:
    return parse(json.dumps({"messages": HELLO, **fields}), 1000).to_llama()


def test_passes_sampling_and_ignores_unknown_fields() -> None:
    parameters = ask(temperature=0, stop=["x"], tools=[{"type": "function"}], response_format={}, foo=1)
    assert parameters["temperature"] == 0
    assert parameters["stop"] == ["x"]
    assert not {"tools", "response_format", "foo"} & set(parameters)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, DEFAULT_MAX_TOKENS),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 7),
        ({"max_tokens": 100_000}, 1000),
        ({"max_tokens": None}, DEFAULT_MAX_TOKENS),
    ],
)
def test_max_tokens_has_a_default_and_a_cap(fields: dict[str, Any], expected: int) -> None:
    assert ask(**fields)["max_tokens"] == expected


def test_maps_unknown_roles_and_contents() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}]
    messages = [{"role": "developer", "content": "x"}, {"role": "tool", "content": parts}, {"role": "assistant"}]
    assert ask(messages=messages)["messages"] == [
        {"role": "system", "content": "x"},
        {"role": "user", "content": "a\nb"},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    "body",
    ["{", "[]", "{}", '{"messages": []}', '{"messages": [1]}', '{"messages": [{"role": "user"}], "max_tokens": 0}'],
)
def test_refuses_malformed_requests_with_a_message(body: str) -> None:
    with pytest.raises(RequestError):
        parse(body, 10)


def raw(**choice: Any) -> dict[str, Any]:
    choices = [{"index": 0, "delta": {}, "finish_reason": None, **choice}] if choice else []
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "/path", "choices": choices}


def test_chunk_has_the_clients_model_and_no_path() -> None:
    part = chunk({**raw(delta={"role": "assistant", "content": None}), "timings": {}}, "mine")
    assert part["model"] == "mine"
    assert part["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "timings" not in part


def test_chunks_make_one_completion() -> None:
    builder = CompletionBuilder()
    counts = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5, "prompt_tokens_details": {}}
    for part in (raw(delta={"role": "assistant", "content": None}), raw(delta={"content": "Hel"})):
        builder.add(chunk(part, "mine"))
    for part in (raw(delta={"content": "lo"}), raw(finish_reason="length"), {**raw(), "usage": counts}):
        builder.add(chunk(part, "mine"))
    answer = builder.completion()
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "Hello", "refusal": None}
    assert answer["choices"][0]["finish_reason"] == "length"
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}

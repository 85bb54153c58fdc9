"""The JSON of completions and chunks, written and read."""

import json
from typing import Any

import pytest

from extproc.conversation.chat_completion_json import (
    decode_completion,
    decode_stream,
    encode_completion,
    encode_stream,
    split_first_chunk,
)
from extproc.conversation.completion import Completion
from extproc.shared.filter_config import JsonValue

USAGE: dict[str, JsonValue] = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    *events, done, rest = stream.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_a_stream_holds_the_same_as_a_completion() -> None:
    answer = Completion("Arch-Guard", "no", finish_reason="content_filter", metadata={"x": "y"}, usage=USAGE)
    whole = json.loads(encode_completion(answer))
    chunks = chunks_of(encode_stream(answer))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "no"
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "content_filter"
    assert {chunk["model"] for chunk in chunks} == {whole["model"]} == {"Arch-Guard"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk.get("metadata") for chunk in chunks] == [whole["metadata"], None, None]
    assert sum("role" in chunk["choices"][0]["delta"] for chunk in chunks) == 1
    assert all("usage" not in chunk for chunk in chunks)


def test_usage_is_in_the_last_chunk_and_null_in_the_others() -> None:
    answer = Completion("Arch-Guard", "no", usage=USAGE)
    *chunks, last = chunks_of(encode_stream(answer, include_usage=True))
    assert (last["choices"], last["usage"]) == ([], USAGE) == ([], json.loads(encode_completion(answer))["usage"])
    assert [chunk["usage"] for chunk in chunks] == [None] * 3
    assert {chunk["id"] for chunk in chunks} == {last["id"]}


@pytest.mark.parametrize("finish", ["stop", "content_filter"])
def test_a_refusal_has_no_content_whole_or_streamed(finish: str) -> None:
    answer = Completion("Arch-Guard", "no", finish_reason=finish, is_refusal=True)
    choice = json.loads(encode_completion(answer))["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "no"}
    first, middle, last = (json.loads(event[6:])["choices"][0] for event in encode_stream(answer).split(b"\n\n")[:3])
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert middle["delta"] == {"refusal": "no"}
    assert choice["finish_reason"] == last["finish_reason"] == finish


def opened(**fields: object) -> tuple[dict[str, Any], dict[str, Any]]:
    chunk = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 7, "model": "gpt", **fields}
    found = split_first_chunk(json.dumps(chunk).encode(), {"x-arch-state": "s"})
    assert found
    first, second = map(json.loads, found)
    return first, second


def choice(delta: object, **fields: object) -> dict[str, object]:
    return {"index": 0, "delta": delta, "finish_reason": None, **fields}


def test_splits_the_first_chunk_into_two_with_one_id_and_one_role() -> None:
    middle = choice({"role": "assistant", "content": "Hel", "refusal": None})
    first, second = opened(choices=[middle], system_fingerprint="fp")
    opening = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    shared = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 7, "model": "gpt"}
    assert first == {**shared, "system_fingerprint": "fp", "choices": [opening], "metadata": {"x-arch-state": "s"}}
    rest = choice({"content": "Hel", "refusal": None})
    assert second == {**shared, "system_fingerprint": "fp", "choices": [rest]}


def test_other_fields_of_the_first_chunk_are_in_one_of_the_two() -> None:
    first, second = opened(
        choices=[choice({"content": "a"}, index=1, finish_reason="stop"), choice({"role": "assistant"})],
        usage={"total_tokens": 9},
        metadata={"a": "b"},
        citations=["c"],
    )
    assert first["choices"][0]["index"] == 1
    assert (first["usage"], first["metadata"]) == (None, {"a": "b", "x-arch-state": "s"})
    assert (second["usage"], second["citations"]) == ({"total_tokens": 9}, ["c"])
    assert second["choices"][0]["finish_reason"] == "stop"
    assert second["choices"][1]["delta"] == {"role": "assistant"}
    assert "citations" not in first


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[DONE]",
        b"[]",
        b'{"error":{}}',
        b'{"choices":[]}',
        b'{"choices":[1]}',
        b'{"choices":{}}',
        b'{"choices":[{"delta":"\xff"}]}',
        b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)
def test_does_not_split_events_that_are_no_chunk_of_an_answer(payload: bytes) -> None:
    assert split_first_chunk(payload, {}) is None


def test_keeps_the_usage_of_a_completion_from_outside() -> None:
    whole = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"total_tokens":4}}'
    odd = b'{"choices":[{"message":{"content":"hi"}}],"usage":[1]}'
    streamed = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\ndata: {"choices":[],"usage":{"total_tokens":4}}\n\n'
    assert [getattr(decode_completion(body), "usage", 0) for body in (whole, odd)] == [
        {"total_tokens": 4},
        None,
    ]
    assert getattr(decode_stream(streamed), "usage", 0) == {"total_tokens": 4}


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b'"text"'])
def test_decodes_nothing_from_a_body_that_is_no_completion(raw: bytes) -> None:
    assert decode_completion(raw) is None


def test_decodes_an_encoded_completion() -> None:
    assert decode_completion(encode_completion(Completion("m", "text"))) == Completion("m", "text")

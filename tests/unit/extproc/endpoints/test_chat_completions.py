"""Chat completions as they are read and written."""

import json
from typing import Any

import pytest

from extproc.conversation import chat_completion_json
from extproc.conversation.completion import Completion
from extproc.conversation.messages import append_text, texts
from extproc.endpoints.chat_completions import ChatCompletions
from extproc.errors import InvalidRequest
from extproc.shared.filter_config import JsonValue, Provider, Schema
from extproc.translators.openai import encode_request

ENDPOINT = ChatCompletions()
PROVIDER = Provider(name="p", model="m", schema=Schema.OPENAI, cluster="provider_p", accepts_metadata=True)


def body(**fields: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def rewritten(raw: bytes) -> bytes:
    request = ENDPOINT.parse(raw)
    return encode_request(request, request.messages, PROVIDER)


def test_unknown_fields_keep_their_own_bytes() -> None:
    raw = b'{"messages":[{"role":"user","content":"hi","x":[1,2]}],"seed":12345678901234567890123,"t":1.10,"e":1e400}'
    assert b'"seed":12345678901234567890123' in rewritten(raw)
    assert b'"t":1.10' in rewritten(raw)
    assert b'"e":1e400' in rewritten(raw)
    assert json.loads(rewritten(raw))["messages"] == [{"role": "user", "content": "hi", "x": [1, 2]}]


@pytest.mark.parametrize(
    "content",
    [
        "plain",
        None,
        [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
        [],
    ],
)
def test_every_form_of_content_survives(content: object) -> None:
    messages = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": content}]
    assert json.loads(rewritten(body(messages=messages)))["messages"] == messages


def test_of_a_duplicate_key_only_what_was_read_leaves() -> None:
    raw = b'{"messages":[{"role":"user","content":"one"}],"messages":[{"role":"user","content":"x","content":"two"}]}'
    assert rewritten(raw).count(b"messages") == 1
    assert b"one" not in rewritten(raw)
    assert json.loads(rewritten(raw))["messages"] == [{"role": "user", "content": "two"}]


def test_a_field_as_it_is_read_has_no_key_twice_and_keeps_its_meaning() -> None:
    tools = b'[{"name":"harmless","name":"attack","x":1.10,"n":123456789012345678901234567890}]'
    request = ENDPOINT.parse(b'{"messages":[{"role":"user","content":"hi"}],"seed":1.10,"tools":' + tools + b"}")
    left = encode_request(request.reencoded(), request.messages, PROVIDER)
    assert b"harmless" not in left
    assert b'"n":123456789012345678901234567890' in left
    assert b'"seed":1.10' in left


@pytest.mark.parametrize("field", [b"[1e999]", b"[" * 100_000 + b"]" * 100_000])
def test_a_field_that_cannot_be_read_is_refused_where_guards_read_it(field: bytes) -> None:
    with pytest.raises(InvalidRequest):
        ENDPOINT.parse(b'{"messages":[{"role":"user","content":"hi"}],"tools":' + field + b"}").reencoded()


def test_a_conversation_of_which_nothing_is_left_is_refused() -> None:
    request = ENDPOINT.parse(body())
    assert request.with_messages(request.messages) == request
    with pytest.raises(InvalidRequest):
        request.with_messages([])


@pytest.mark.parametrize(
    ("raw", "place"),
    [
        (b"", "no body"),
        (b"{", "truncated"),
        (b"[]", "object"),
        (b'{"messages": "\xff"}', "UTF-8"),
        (b'{"messages": ' + b"[" * 100_000, "nested"),
        (b"{}", "`messages`"),
        (body(messages=[]), "`messages`"),
        (body(messages="hi"), "`messages`"),
        (body(messages=["hi"]), "`messages[0]`"),
        (body(messages=[{"content": "hi"}]), "`messages[0].role`"),
        (
            body(messages=[{"role": "assistanttoolassistant", "content": "hi"}]),
            "`messages[0].role` must be one of system",
        ),
        (body(messages=[{"role": "user", "content": 3}]), "`messages[0].content`"),
        (body(messages=[{"role": "user", "content": ["hi"]}]), "`messages[0].content`"),
        (body(model=3), "`model`"),
        (body(stream="yes"), "`stream`"),
        (body(metadata=[]), "`metadata`"),
    ],
)
def test_a_malformed_request_is_refused_with_its_place(raw: bytes, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ENDPOINT.parse(raw)
    assert place in caught.value.message
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("raw", "named"),
    [
        (body(user="\ud800"), "escapes half of a surrogate pair"),
        (body(messages=[{"role": "user", "content": "\ude00 and more of it"}]), "escapes half of a surrogate pair"),
        (b'{"messages":[{"role":"user","content":"\\ud83d"}]}', "escapes half of a surrogate pair"),
        (body(tools=[{"\udfff": 1}]), "escapes half of a surrogate pair"),
        ('{"user":"\ud800"}'.encode(errors="surrogatepass"), "half of a surrogate pair (byte 9)"),
        (b'{"user":"\xff"}', "not UTF-8 (byte 9)"),
        (b"\xef\xbb\xbf" + body(), "byte order mark"),
        (body().decode().encode("utf-16"), "UTF-16"),
        (body().decode().encode("utf-16-be"), "UTF-16"),
        (body().decode().encode("utf-32"), "UTF-32"),
        (body().decode().encode("utf-32-le"), "UTF-32"),
        # Cut off, and with a whole pair in it.
        (body(user="\N{GRINNING FACE}")[:-1], "truncated"),
    ],
)
def test_a_body_in_another_encoding_is_named(raw: bytes, named: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ENDPOINT.parse(raw)
    assert named in caught.value.message


@pytest.mark.parametrize("value", [b'"\\\\ud800"', b'"\\ud83d\\ude00"', b'["\\ud83d\\ude00", 1e999]'])
def test_what_only_looks_like_half_a_character_passes(value: bytes) -> None:
    raw = b'{"messages":[{"role":"user","content":"hi"}],"user":' + value + b"}"
    assert bytes(ENDPOINT.parse(raw).fields["user"]) == value


def test_a_fault_never_repeats_what_was_sent() -> None:
    with pytest.raises(InvalidRequest) as caught:
        ENDPOINT.parse(b'{"messages": [{"role": "user", "content": "my secret"]}')
    assert "secret" not in caught.value.message


def test_texts_are_those_of_a_string_and_of_every_part_that_has_one() -> None:
    assert texts({"role": "user", "content": "a"}) == ["a"]
    assert texts({"role": "user", "content": None}) == []
    parts: list[JsonValue] = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {}},
        {"type": "new_kind", "text": "b"},
    ]
    assert texts({"role": "user", "content": parts}) == ["a", "b"]


def test_an_assistant_that_says_nothing_says_its_refusal() -> None:
    contents: list[JsonValue] = [None, "", [{"type": "refusal", "refusal": "no"}]]
    for content in contents:
        assert texts({"role": "assistant", "content": content, "refusal": "no"}) == ["no"]
    assert texts({"role": "assistant", "content": "yes", "refusal": "no"}) == ["yes"]
    assert texts({"role": "assistant", "content": None, "refusal": None}) == []


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, False),
        ({"response_format": None, "tool_choice": None, "function_call": None}, False),
        ({"response_format": {"type": "text"}, "tool_choice": "auto"}, False),
        ({"tool_choice": "none"}, False),
        ({"tool_choice": {"type": "auto"}, "function_call": "auto"}, False),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}}, False),
        ({"tool_choice": 3, "response_format": []}, False),
        ({"response_format": {"type": "json_object"}}, True),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}, True),
        ({"tool_choice": "required"}, True),
        ({"tool_choice": "any"}, True),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, True),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": []}}}, True),
        ({"function_call": {"name": "f"}}, True),
    ],
)
def test_a_client_that_wants_an_object_is_told_apart(fields: dict[str, Any], wanted: bool) -> None:
    assert ENDPOINT.parse(body(**fields)).is_structured is wanted


@pytest.mark.parametrize("finish", ["stop", "content_filter"])
def test_a_refusal_has_no_content_as_a_whole_and_as_a_stream(finish: str) -> None:
    answer = Completion("Arch-Guard", "no", finish_reason=finish, is_refusal=True)
    choice = json.loads(ENDPOINT.completion(answer))["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": None, "refusal": "no"}
    first, said, last = (json.loads(event[6:])["choices"][0] for event in ENDPOINT.stream(answer).split(b"\n\n")[:3])
    assert first["delta"] == {"role": "assistant", "content": ""}
    assert said["delta"] == {"refusal": "no"}
    assert choice["finish_reason"] == last["finish_reason"] == finish


def test_text_is_appended_to_either_form_of_content() -> None:
    assert append_text({"role": "user", "content": "a"}, "b")["content"] == "ab"
    assert append_text({"role": "user", "content": None}, "b")["content"] == "b"
    appended = append_text({"role": "user", "content": [{"type": "text", "text": "a"}]}, "b")
    assert appended["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
def test_every_role_of_the_api_is_known(role: str) -> None:
    messages = [{"role": role, "content": "hi"}]
    assert ENDPOINT.parse(body(messages=messages)).messages == tuple(messages)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [(None, False), ({}, False), ({"include_usage": True}, True), ({"include_usage": 1}, False), ("x", False)],
)
def test_a_usage_chunk_is_wanted_by_who_says_so(options: object, wanted: bool) -> None:
    assert ENDPOINT.parse(body(stream_options=options)).include_usage is wanted
    assert ENDPOINT.parse(body()).include_usage is False


USAGE: dict[str, JsonValue] = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def chunks_of(stream: bytes) -> list[dict[str, Any]]:
    *events, done, rest = stream.decode().split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [json.loads(event.removeprefix("data: ")) for event in events]


def test_a_stream_says_the_same_as_a_completion() -> None:
    answer = Completion("Arch-Guard", "no", finish_reason="content_filter", metadata={"x": "y"}, usage=USAGE)
    whole = json.loads(ENDPOINT.completion(answer))
    chunks = chunks_of(ENDPOINT.stream(answer))
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "no"
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "content_filter"
    assert {chunk["model"] for chunk in chunks} == {whole["model"]} == {"Arch-Guard"}
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert [chunk.get("metadata") for chunk in chunks] == [whole["metadata"], None, None]
    assert sum("role" in chunk["choices"][0]["delta"] for chunk in chunks) == 1
    assert all("usage" not in chunk for chunk in chunks)


def test_the_usage_is_the_last_chunk_and_null_in_the_others() -> None:
    answer = Completion("Arch-Guard", "no", usage=USAGE)
    *chunks, last = chunks_of(ENDPOINT.stream(answer, include_usage=True))
    assert (last["choices"], last["usage"]) == ([], USAGE) == ([], json.loads(ENDPOINT.completion(answer))["usage"])
    assert [chunk["usage"] for chunk in chunks] == [None] * 3
    assert {chunk["id"] for chunk in chunks} == {last["id"]}


def opened(**fields: object) -> tuple[dict[str, Any], dict[str, Any]]:
    chunk = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 7, "model": "gpt", **fields}
    found = chat_completion_json.split_first_chunk(json.dumps(chunk).encode(), {"x-arch-state": "s"})
    assert found
    first, second = map(json.loads, found)
    return first, second


def choice(delta: object, **fields: object) -> dict[str, object]:
    return {"index": 0, "delta": delta, "finish_reason": None, **fields}


def test_a_first_chunk_becomes_two_of_one_id_and_the_role_is_said_once() -> None:
    said = choice({"role": "assistant", "content": "Hel", "refusal": None})
    first, second = opened(choices=[said], system_fingerprint="fp")
    opening = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
    shared = {"id": "chatcmpl-9", "object": "chat.completion.chunk", "created": 7, "model": "gpt"}
    assert first == {**shared, "system_fingerprint": "fp", "choices": [opening], "metadata": {"x-arch-state": "s"}}
    rest = choice({"content": "Hel", "refusal": None})
    assert second == {**shared, "system_fingerprint": "fp", "choices": [rest]}


def test_what_a_first_chunk_tells_besides_is_told_once() -> None:
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
def test_what_is_no_chunk_of_an_answer_is_not_opened(payload: bytes) -> None:
    assert chat_completion_json.split_first_chunk(payload, {}) is None


def test_usage_from_outside_is_kept() -> None:
    whole = b'{"choices":[{"message":{"content":"hi"}}],"usage":{"total_tokens":4}}'
    odd = b'{"choices":[{"message":{"content":"hi"}}],"usage":[1]}'
    streamed = b'data: {"choices":[{"delta":{"content":"hi"}}]}\n\ndata: {"choices":[],"usage":{"total_tokens":4}}\n\n'
    assert [getattr(chat_completion_json.decode_completion(body), "usage", 0) for body in (whole, odd)] == [
        {"total_tokens": 4},
        None,
    ]
    assert getattr(chat_completion_json.decode_stream(streamed), "usage", 0) == {"total_tokens": 4}


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b'"text"'])
def test_what_is_no_completion_is_not_taken_for_one(raw: bytes) -> None:
    assert chat_completion_json.decode_completion(raw) is None


def test_a_completion_is_read_back() -> None:
    assert chat_completion_json.decode_completion(ENDPOINT.completion(Completion("m", "text"))) == Completion(
        "m", "text"
    )

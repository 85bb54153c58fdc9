"""Requests to the chat completions API, parsed and encoded again."""

import json
from typing import Any

import pytest

from extproc.endpoints.chat_completions import ChatCompletions
from extproc.errors import InvalidRequest
from extproc.shared.filter_config import Provider, Schema
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


def test_only_the_last_of_a_duplicate_key_leaves() -> None:
    raw = b'{"messages":[{"role":"user","content":"one"}],"messages":[{"role":"user","content":"x","content":"two"}]}'
    assert rewritten(raw).count(b"messages") == 1
    assert b"one" not in rewritten(raw)
    assert json.loads(rewritten(raw))["messages"] == [{"role": "user", "content": "two"}]


def test_a_reencoded_field_has_no_duplicate_key_and_keeps_its_meaning() -> None:
    tools = b'[{"name":"harmless","name":"attack","x":1.10,"n":123456789012345678901234567890}]'
    request = ENDPOINT.parse(b'{"messages":[{"role":"user","content":"hi"}],"seed":1.10,"tools":' + tools + b"}")
    left = encode_request(request.reencoded(), request.messages, PROVIDER)
    assert b"harmless" not in left
    assert b'"n":123456789012345678901234567890' in left
    assert b'"seed":1.10' in left


@pytest.mark.parametrize("field", [b"[1e999]", b"[" * 100_000 + b"]" * 100_000])
def test_refuses_to_reencode_an_unreadable_field(field: bytes) -> None:
    with pytest.raises(InvalidRequest):
        ENDPOINT.parse(b'{"messages":[{"role":"user","content":"hi"}],"tools":' + field + b"}").reencoded()


def test_refuses_an_empty_conversation() -> None:
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
def test_refuses_a_malformed_request_and_names_the_place(raw: bytes, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ENDPOINT.parse(raw)
    assert place in caught.value.message
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("fields", "expected"),
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
def test_recognises_a_client_that_wants_an_object(fields: dict[str, Any], expected: bool) -> None:
    assert ENDPOINT.parse(body(**fields)).is_structured is expected


@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant", "tool", "function"])
def test_accepts_every_role_of_the_api(role: str) -> None:
    messages = [{"role": role, "content": "hi"}]
    assert ENDPOINT.parse(body(messages=messages)).messages == tuple(messages)


@pytest.mark.parametrize(
    ("options", "expected"),
    [(None, False), ({}, False), ({"include_usage": True}, True), ({"include_usage": 1}, False), ("x", False)],
)
def test_reads_whether_the_client_wants_a_usage_chunk(options: object, expected: bool) -> None:
    assert ENDPOINT.parse(body(stream_options=options)).include_usage is expected
    assert ENDPOINT.parse(body()).include_usage is False

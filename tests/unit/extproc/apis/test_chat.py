"""Chat completions as they are read and written."""

import json

import pytest

from extproc.apis import chat
from extproc.apis.chat import Completion
from extproc.contract import JsonValue
from extproc.errors import InvalidRequest


def body(**fields: object) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": "hi"}], **fields}).encode()


def rewritten(raw: bytes) -> bytes:
    request = chat.parse(raw)
    return chat.encode(request, messages=request.messages, model="m", metadata=request.metadata)


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
    request = chat.parse(b'{"messages":[{"role":"user","content":"hi"}],"seed":1.10,"tools":' + tools + b"}")
    left = chat.encode(chat.as_read(request), messages=request.messages, model="m", metadata={})
    assert b"harmless" not in left
    assert b'"n":123456789012345678901234567890' in left
    assert b'"seed":1.10' in left


@pytest.mark.parametrize("field", [b"[1e999]", b"[" * 100_000 + b"]" * 100_000])
def test_a_field_that_cannot_be_read_is_refused_where_guards_read_it(field: bytes) -> None:
    with pytest.raises(InvalidRequest):
        chat.as_read(chat.parse(b'{"messages":[{"role":"user","content":"hi"}],"tools":' + field + b"}"))


def test_a_conversation_of_which_nothing_is_left_is_refused() -> None:
    request = chat.parse(body())
    assert chat.with_messages(request, request.messages) == request
    with pytest.raises(InvalidRequest):
        chat.with_messages(request, [])


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
        (body(messages=[{"role": "user", "content": 3}]), "`messages[0].content`"),
        (body(messages=[{"role": "user", "content": ["hi"]}]), "`messages[0].content`"),
        (body(model=3), "`model`"),
        (body(stream="yes"), "`stream`"),
        (body(metadata=[]), "`metadata`"),
    ],
)
def test_a_malformed_request_is_refused_with_its_place(raw: bytes, place: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat.parse(raw)
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
        chat.parse(raw)
    assert named in caught.value.message


@pytest.mark.parametrize("value", [b'"\\\\ud800"', b'"\\ud83d\\ude00"', b'["\\ud83d\\ude00", 1e999]'])
def test_what_only_looks_like_half_a_character_passes(value: bytes) -> None:
    raw = b'{"messages":[{"role":"user","content":"hi"}],"user":' + value + b"}"
    assert bytes(chat.parse(raw).fields["user"]) == value


def test_a_fault_never_repeats_what_was_sent() -> None:
    with pytest.raises(InvalidRequest) as caught:
        chat.parse(b'{"messages": [{"role": "user", "content": "my secret"]}')
    assert "secret" not in caught.value.message


def test_texts_are_those_of_a_string_and_of_every_part_that_has_one() -> None:
    assert chat.texts({"role": "user", "content": "a"}) == ["a"]
    assert chat.texts({"role": "user", "content": None}) == []
    parts: list[JsonValue] = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {}},
        {"type": "new_kind", "text": "b"},
    ]
    assert chat.texts({"role": "user", "content": parts}) == ["a", "b"]


def test_text_is_appended_to_either_form_of_content() -> None:
    assert chat.append_text({"role": "user", "content": "a"}, "b")["content"] == "ab"
    assert chat.append_text({"role": "user", "content": None}, "b")["content"] == "b"
    appended = chat.append_text({"role": "user", "content": [{"type": "text", "text": "a"}]}, "b")
    assert appended["content"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]


def test_a_stream_says_the_same_as_a_completion() -> None:
    answer = Completion("Arch-Guard", "no", finish_reason="content_filter")
    whole = json.loads(chat.completion(answer))
    events = [line.removeprefix("data: ") for line in chat.stream(answer).decode().split("\n\n") if line]
    assert events.pop() == "[DONE]"
    chunks = [json.loads(event) for event in events]
    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "no"
    assert chunks[-1]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"] == "content_filter"
    assert {chunk["model"] for chunk in chunks} == {whole["model"]} == {"Arch-Guard"}
    assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"choices": []}', b'{"choices": [{}]}', b'"text"'])
def test_what_is_no_completion_is_not_taken_for_one(raw: bytes) -> None:
    assert chat.read_completion(raw) is None


def test_a_completion_is_read_back() -> None:
    assert chat.read_completion(chat.completion(Completion("m", "text"))) == Completion("m", "text")

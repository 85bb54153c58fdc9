"""What a response becomes on its way back."""

import json
from typing import Any

import msgspec
import pytest

from extproc.conversation import state
from extproc.decision import ResponseEdit, ToolCall
from extproc.errors import BadUpstreamAnswer
from extproc.response import Whole, edit_whole, stream_edits
from extproc.shared.filter_config import Schema

CALL = ToolCall(call_id="call_arch_1", name="weather", arguments='{"days":3}', answer="20 degrees")
COMPLETION = b'{"id":"1","seed":12345678901234567890123,"choices":[]}'


def edited(body: bytes, edit: ResponseEdit, *, status: int = 200) -> Whole:
    return edit_whole(edit, Whole(status, "application/json", body))


def test_the_state_joins_the_answers_metadata_and_nothing_else_changes() -> None:
    answer = edited(b'{"id":"1","n":1.10,"metadata":{"a":"b"}}', ResponseEdit(calls=(CALL,)))
    assert answer.body.startswith(b'{"id":"1","n":1.10,"metadata":{"a":"b",')
    assert state.load(json.loads(answer.body)["metadata"]).messages[1]["content"] == "20 degrees"


@pytest.mark.parametrize(("status", "body"), [(500, COMPLETION), (503, b"not json"), (429, b"{}")])
def test_an_error_passes_as_it_is(status: int, body: bytes) -> None:
    assert edited(body, ResponseEdit(calls=(CALL,)), status=status) == Whole(status, "application/json", body)


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]"])
def test_an_answer_that_cannot_carry_the_state_is_an_error(body: bytes) -> None:
    with pytest.raises(BadUpstreamAnswer):
        edited(body, ResponseEdit(calls=(CALL,)))


def test_a_wrapped_answer_is_unwrapped_before_the_state_joins_it() -> None:
    wrapped = json.dumps({"RESPONSE": COMPLETION.decode()}).encode()
    answer = json.loads(edited(wrapped, ResponseEdit(schema=Schema.TRITON, calls=(CALL,))).body)
    assert answer["choices"] == []
    assert state.KEY in answer["metadata"]


SIZES = [1, 9, 1000]


def streamed(raw: bytes, size: int = 1000, **fields: Any) -> bytes:
    edits = stream_edits(ResponseEdit(calls=(CALL,), **fields))
    out = b""
    for start in range(0, len(raw), size):
        chunk, last = raw[start : start + size], start + size >= len(raw)
        for edit in edits:
            chunk = edit.feed(chunk) + (edit.flush() if last else b"")
        out += chunk
    return out


FIRST = b'data: {"id":"7","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}'
REST = b'data: {"id":"7","model":"m","choices":[{"index":0,"delta":{"content":"!"}}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", SIZES)
def test_the_state_stands_before_the_first_chunk_in_one_of_its_id_and_model(size: int, end: bytes) -> None:
    before = b": wait" + end + b'data: {"id":"","model":"","choices":[]}' + end
    out = streamed(before + FIRST + end + REST, size)
    assert out.startswith(before)
    assert out.endswith(REST)
    opening, first = (json.loads(event[6:]) for event in out[len(before) : -len(REST)].split(b"\n\n") if event.strip())
    assert (opening["id"], opening["model"]) == (first["id"], first["model"]) == ("7", "m")
    assert opening["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert first["choices"][0]["delta"] == {"content": "Hi"}
    assert state.load(opening["metadata"]).targets == ("weather",)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "raw",
    [
        b"data: [DONE]\n\n",
        b'data: {"error":{"message":"busy"}}\n\ndata: [DONE]\n\n',
        b'event: error\ndata: {"error":{"message":"busy"}}',
        b": nothing",
        b"data: " + b"x" * (2 << 20) + b"\n\n" + FIRST + b"\n\n",
    ],
    ids=["done", "error", "error at once", "comment", "too large"],
)
def test_a_stream_without_an_answer_passes_as_it_is(raw: bytes, size: int) -> None:
    assert streamed(raw, max(size, len(raw) // 100)) == raw


def test_a_first_chunk_is_not_held_back_for_what_follows() -> None:
    (edit,) = stream_edits(ResponseEdit(calls=(CALL,)))
    assert edit.feed(b": wait\n\n") == b": wait\n\n"
    assert edit.feed(FIRST) == b""
    assert edit.feed(b"\n\n").count(b"data: ") == 2
    assert edit.feed(REST[:20]) == REST[:20]


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert streamed(FIRST).count(b"data: ") == 2


def test_a_wrapped_stream_is_unwrapped_before_the_state_joins_it() -> None:
    wrapped = b"data: " + json.dumps({"RESPONSE": FIRST[6:].decode()}).encode() + b"\n\n"
    opening, first, done, _ = streamed(wrapped, schema=Schema.TRITON).split(b"\n\n")
    assert {json.loads(event[6:])["model"] for event in (opening, first)} == {"m"}
    assert done == b"data: [DONE]"


@pytest.mark.parametrize("size", SIZES)
def test_the_calls_stand_before_a_stream_of_0_1(size: int) -> None:
    out = streamed(b'data: {"choices":[]}\n\ndata: [DONE]\n\n', size, tool_chunks=True)
    events = [event.removeprefix(b"data: ") for event in out.split(b"\n\n") if event]
    call, tool = json.loads(events[0]), json.loads(events[1])
    assert call["model"] == "Arch-Function"
    delta = call["choices"][0]["delta"]
    assert delta["role"] == "assistant"
    assert delta["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"days":3}'}
    assert tool["choices"][0]["delta"]["role"] == "tool"
    assert tool["choices"][0]["delta"]["content"] == "20 degrees"
    assert b"\n\n".join(events[2:]) == b'{"choices":[]}\n\n[DONE]'


def test_an_edit_survives_its_way_through_envoy() -> None:
    edit = ResponseEdit(schema=Schema.TRITON, calls=(CALL,))
    assert msgspec.json.decode(msgspec.json.encode(edit), type=ResponseEdit) == edit

"""What a response becomes on its way back."""

import json

import msgspec
import pytest

from extproc.apis import state
from extproc.contract import Wire
from extproc.decision import ResponseEdit, ToolCall
from extproc.errors import BadUpstreamAnswer
from extproc.response import Whole, edit_whole, stream_edits

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
    answer = json.loads(edited(wrapped, ResponseEdit(wire=Wire.TRITON, calls=(CALL,))).body)
    assert answer["choices"] == []
    assert state.KEY in answer["metadata"]


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_the_call_stands_before_the_first_chunk_of_a_stream(size: int) -> None:
    raw = b'data: {"choices":[]}\n\ndata: [DONE]\n\n'
    (edit,) = stream_edits(ResponseEdit(calls=(CALL,)))
    out = b"".join(edit.feed(raw[start : start + size]) for start in range(0, len(raw), size)) + edit.flush()
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
    edit = ResponseEdit(wire=Wire.TRITON, calls=(CALL,))
    assert msgspec.json.decode(msgspec.json.encode(edit), type=ResponseEdit) == edit

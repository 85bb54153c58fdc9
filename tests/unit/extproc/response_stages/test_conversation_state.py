"""The conversation state joins a response, behind the translation of the provider's schema."""

import json
from typing import Any

import msgspec
import pytest

from extproc.conversation import state
from extproc.decision import ResponseEdit, ToolCall
from extproc.errors import BadUpstreamAnswer
from extproc.gateway import RESPONSE_STAGES
from extproc.response_stages import stage
from extproc.response_stages.stage import ResponseContext, ResponseStage, WholeResponse
from extproc.shared.filter_config import Schema

CALL = ToolCall(call_id="call_arch_1", name="weather", arguments='{"days":3}', answer="20 degrees")
COMPLETION = b'{"id":"1","seed":12345678901234567890123,"choices":[]}'


def stages(edit: ResponseEdit, status: int = 200) -> list[ResponseStage]:
    return stage.open_stages(RESPONSE_STAGES, ResponseContext(edit, status))


async def edited(body: bytes, edit: ResponseEdit, *, status: int = 200) -> WholeResponse:
    return await stage.whole(stages(edit, status), WholeResponse(status, "application/json", body))


async def test_adds_the_state_to_the_metadata_and_changes_nothing_else() -> None:
    answer = await edited(b'{"id":"1","n":1.10,"metadata":{"a":"b"}}', ResponseEdit(calls=(CALL,)))
    assert answer.body.startswith(b'{"id":"1","n":1.10,"metadata":{"a":"b",')
    assert state.load(json.loads(answer.body)["metadata"]).messages[1]["content"] == "20 degrees"


@pytest.mark.parametrize(("status", "body"), [(500, COMPLETION), (503, b"not json"), (429, b"{}")])
async def test_an_error_passes_unchanged(status: int, body: bytes) -> None:
    assert await edited(body, ResponseEdit(calls=(CALL,)), status=status) == WholeResponse(
        status, "application/json", body
    )


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]"])
async def test_refuses_an_answer_that_cannot_hold_the_state(body: bytes) -> None:
    with pytest.raises(BadUpstreamAnswer):
        await edited(body, ResponseEdit(calls=(CALL,)))


async def test_adds_the_state_to_a_translated_answer() -> None:
    wrapped = json.dumps({"RESPONSE": COMPLETION.decode()}).encode()
    answer = json.loads((await edited(wrapped, ResponseEdit(schema=Schema.TRITON, calls=(CALL,)))).body)
    assert answer["choices"] == []
    assert state.KEY in answer["metadata"]


SIZES = [1, 9, 1000]


async def streamed(raw: bytes, size: int = 1000, **fields: Any) -> bytes:
    opened = stages(ResponseEdit(calls=(CALL,), **fields))
    return b"".join(
        [
            await stage.feed(opened, raw[start : start + size], is_last=start + size >= len(raw))
            for start in range(0, len(raw), size)
        ]
    )


FIRST = b'data: {"id":"7","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"}}]}'
REST = b'data: {"id":"7","model":"m","choices":[{"index":0,"delta":{"content":"!"}}]}\n\ndata: [DONE]\n\n'


@pytest.mark.parametrize("end", [b"\n\n", b"\r\n\r\n", b"\r\r"])
@pytest.mark.parametrize("size", SIZES)
async def test_the_state_is_in_a_chunk_before_the_first_with_its_id_and_model(size: int, end: bytes) -> None:
    before = b": wait" + end + b'data: {"id":"","model":"","choices":[]}' + end
    out = await streamed(before + FIRST + end + REST, size)
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
async def test_a_stream_without_an_answer_passes_unchanged(raw: bytes, size: int) -> None:
    assert await streamed(raw, max(size, len(raw) // 100)) == raw


async def test_the_first_chunk_does_not_wait_for_the_second() -> None:
    (state_stage,) = stages(ResponseEdit(calls=(CALL,)))
    assert await state_stage.feed(b": wait\n\n") == b": wait\n\n"
    assert await state_stage.feed(FIRST) == b""
    assert (await state_stage.feed(b"\n\n")).count(b"data: ") == 2
    assert await state_stage.feed(REST[:20]) == REST[:20]


async def test_adds_the_state_to_an_event_without_its_closing_blank_line() -> None:
    assert (await streamed(FIRST)).count(b"data: ") == 2


async def test_adds_the_state_to_a_translated_stream() -> None:
    wrapped = b"data: " + json.dumps({"RESPONSE": FIRST[6:].decode()}).encode() + b"\n\n"
    opening, first, done, _ = (await streamed(wrapped, schema=Schema.TRITON)).split(b"\n\n")
    assert {json.loads(event[6:])["model"] for event in (opening, first)} == {"m"}
    assert done == b"data: [DONE]"


@pytest.mark.parametrize("size", SIZES)
async def test_tool_chunks_stand_before_the_stream(size: int) -> None:
    out = await streamed(b'data: {"choices":[]}\n\ndata: [DONE]\n\n', size, tool_chunks=True)
    events = [event.removeprefix(b"data: ") for event in out.split(b"\n\n") if event]
    call, tool = json.loads(events[0]), json.loads(events[1])
    assert call["model"] == "Arch-Function"
    delta = call["choices"][0]["delta"]
    assert delta["role"] == "assistant"
    assert delta["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"days":3}'}
    assert tool["choices"][0]["delta"]["role"] == "tool"
    assert tool["choices"][0]["delta"]["content"] == "20 degrees"
    assert b"\n\n".join(events[2:]) == b'{"choices":[]}\n\n[DONE]'


def test_an_edit_is_decoded_from_dynamic_metadata_unchanged() -> None:
    edit = ResponseEdit(schema=Schema.TRITON, calls=(CALL,))
    assert msgspec.json.decode(msgspec.json.encode(edit), type=ResponseEdit) == edit

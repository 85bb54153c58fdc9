"""The chat model on Triton: OpenAI JSON wrapped in Triton's."""

import json

import pytest

from extproc.endpoints.chat_completions import ChatCompletions
from extproc.response_stages.stage import WholeResponse
from extproc.shared.filter_config import Provider, Schema
from extproc.translators import triton

PROVIDER = Provider(name="local", model="chat", schema=Schema.TRITON, cluster="provider_local")


@pytest.mark.parametrize(("stream", "verb"), [(True, "generate_stream"), (False, "generate")])
def test_the_request_is_one_text_input_of_triton(stream: bool, verb: str) -> None:
    chat = ChatCompletions().parse(
        json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": stream, "n": 1}).encode()
    )
    request = triton.TritonTranslator().request(chat, chat.messages, PROVIDER)
    assert request.path == f"/v2/models/chat/{verb}"
    inner = json.loads(json.loads(request.body)["REQUEST"])
    assert inner == {"messages": [{"role": "user", "content": "hi"}], "stream": stream, "n": 1, "model": "chat"}


async def unwrapped(status: int, raw: bytes) -> tuple[int, bytes]:
    response = await triton.TritonResponseStage().whole(WholeResponse(status, "text/plain", raw))
    assert response.content_type == "application/json"
    return response.status, response.body


async def test_unwraps_a_whole_answer() -> None:
    raw = b'{"model_name": "chat", "RESPONSE": "{\\"choices\\": []}"}'
    assert await unwrapped(200, raw) == (200, b'{"choices": []}')


async def test_a_request_that_the_model_refuses_is_a_400() -> None:
    status, body = await unwrapped(200, json.dumps({"RESPONSE": '{"error": {"message": "too long"}}'}).encode())
    assert (status, body) == (400, b'{"error": {"message": "too long"}}')


@pytest.mark.parametrize(("status", "raw"), [(500, b'{"error": "stub is dead"}'), (200, b"nonsense"), (200, b"{}")])
async def test_any_other_answer_is_an_unavailable_model(status: int, raw: bytes) -> None:
    status, body = await unwrapped(status, raw)
    assert status == 503
    assert json.loads(body)["error"]["code"] == "model_unavailable"


@pytest.mark.parametrize("size", [1, 4, 1000])
async def test_unwraps_a_stream_event_by_event(size: int) -> None:
    raw = b"".join(b"data: " + json.dumps({"RESPONSE": json.dumps({"n": n})}).encode() + b"\n\n" for n in range(3))
    stage = triton.TritonResponseStage()
    out = b"".join([await stage.feed(raw[start : start + size]) for start in range(0, len(raw), size)])
    out += await stage.finish()
    assert out == b'data: {"n": 0}\n\ndata: {"n": 1}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n'


async def test_an_error_in_the_middle_of_a_stream_reaches_the_client() -> None:
    out = await triton.TritonResponseStage().feed(b'data: {"error": "stub died"}\n\n')
    assert json.loads(out.removeprefix(b"data: "))["error"]["code"] == "model_unavailable"

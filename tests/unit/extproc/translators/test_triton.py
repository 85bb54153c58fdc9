"""The chat model on Triton: OpenAI JSON wrapped in Triton's."""

import json

import pytest

from extproc.endpoints import chat_completions
from extproc.shared.filter_config import Provider, Schema
from extproc.translators import triton

PROVIDER = Provider(name="local", model="chat", schema=Schema.TRITON, cluster="provider_local")


@pytest.mark.parametrize(("stream", "verb"), [(True, "generate_stream"), (False, "generate")])
def test_the_request_is_one_text_input(stream: bool, verb: str) -> None:
    asked = chat_completions.parse(
        json.dumps({"messages": [{"role": "user", "content": "hi"}], "stream": stream, "n": 1}).encode()
    )
    forward = triton.forward(asked, list(asked.messages), PROVIDER)
    assert forward.path == f"/v2/models/chat/{verb}"
    inner = json.loads(json.loads(forward.body)["REQUEST"])
    assert inner == {"messages": [{"role": "user", "content": "hi"}], "stream": stream, "n": 1, "model": "chat"}


def test_a_whole_answer_is_unwrapped() -> None:
    assert triton.unwrap(200, b'{"model_name": "chat", "RESPONSE": "{\\"choices\\": []}"}') == (200, b'{"choices": []}')


def test_a_request_that_the_model_refuses_is_the_clients_fault() -> None:
    status, body = triton.unwrap(200, json.dumps({"RESPONSE": '{"error": {"message": "too long"}}'}).encode())
    assert (status, body) == (400, b'{"error": {"message": "too long"}}')


@pytest.mark.parametrize(("status", "raw"), [(500, b'{"error": "stub is dead"}'), (200, b"nonsense"), (200, b"{}")])
def test_anything_else_is_an_unavailable_model(status: int, raw: bytes) -> None:
    status, body = triton.unwrap(status, raw)
    assert status == 503
    assert json.loads(body)["error"]["code"] == "model_unavailable"


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_a_stream_is_unwrapped_event_by_event(size: int) -> None:
    raw = b"".join(b"data: " + json.dumps({"RESPONSE": json.dumps({"n": n})}).encode() + b"\n\n" for n in range(3))
    edit = triton.UnwrapStream()
    out = b"".join(edit.feed(raw[start : start + size]) for start in range(0, len(raw), size)) + edit.flush()
    assert out == b'data: {"n": 0}\n\ndata: {"n": 1}\n\ndata: {"n": 2}\n\ndata: [DONE]\n\n'


def test_an_error_in_the_middle_of_a_stream_reaches_the_client() -> None:
    edit = triton.UnwrapStream()
    out = edit.feed(b'data: {"error": "stub died"}\n\n')
    assert json.loads(out.removeprefix(b"data: "))["error"]["code"] == "model_unavailable"

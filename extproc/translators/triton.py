"""Clients of OpenAI chat completions, a chat model on Triton: its generate endpoints wrap the same JSON as text.

Request `{"REQUEST": "<OpenAI request>"}`; answer `{"model_name": ..., "RESPONSE": "<OpenAI answer>"}`, or an event
of that form a chunk.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_generate.md
"""

from __future__ import annotations

from typing import Final

from extproc.codecs import sse
from extproc.decision import Forward, ResponseEdit
from extproc.endpoints import chat_completions
from extproc.endpoints.chat_completions import ChatRequest, Message
from extproc.shared.filter_config import Provider, Schema

_UNAVAILABLE: Final = chat_completions.error_body(
    "The model did not answer: try again later.", "api_error", "model_unavailable"
)


def forward(request: ChatRequest, messages: list[Message], provider: Provider) -> Forward:
    """The request as one Triton input; the answer is unwrapped on its way back."""
    body = chat_completions.encode(request, messages=messages, model=provider.model, metadata={})
    verb = "generate_stream" if request.stream else "generate"
    return Forward(
        cluster=provider.cluster,
        path=f"/v2/models/{provider.model}/{verb}",
        body=chat_completions.encode_json({"REQUEST": body.decode()}),
        edit=ResponseEdit(schema=Schema.TRITON),
    )


def unwrap(status: int, body: bytes) -> tuple[int, bytes]:
    """Status and body of a whole answer as an OpenAI client expects them."""
    inner = _inner(body) if status == 200 else None
    if inner is None:
        return 503, _UNAVAILABLE
    # The model tells a bad request from a good one; Triton's endpoint has no status for it.
    return (400 if "error" in (chat_completions.decode_object(inner) or {}) else 200), inner


class UnwrapStream:
    """Each event of Triton's becomes one of OpenAI's, and the stream ends as OpenAI's do."""

    def __init__(self) -> None:
        self._events = sse.EventDecoder()

    def feed(self, chunk: bytes) -> bytes:
        return self._frame(self._events.feed(chunk))

    def flush(self) -> bytes:
        return self._frame(self._events.flush()) + sse.DONE

    @staticmethod
    def _frame(events: list[bytes]) -> bytes:
        return b"".join(sse.event(_inner(payload) or _UNAVAILABLE) for payload in events)


def _inner(payload: bytes) -> bytes | None:
    """The OpenAI JSON inside one Triton answer."""
    answer = chat_completions.decode_object(payload)
    text = answer.get("RESPONSE") if answer else None
    return text.encode() if isinstance(text, str) else None

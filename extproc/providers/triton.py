"""Clients of OpenAI chat completions, a chat model on Triton: its generate endpoints wrap the same JSON as text.

Request `{"REQUEST": "<OpenAI request>"}`; answer `{"model_name": ..., "RESPONSE": "<OpenAI answer>"}`, or an event
of that form a chunk.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_generate.md
"""

from __future__ import annotations

from typing import Final

from extproc.apis import chat, sse
from extproc.apis.chat import ChatRequest, Message
from extproc.contract import Provider
from extproc.decision import Forward, ResponseEdit, Whole

_UNAVAILABLE: Final = chat.error_body(
    "The local chat model did not answer: see `archgw status`.", "api_error", "model_unavailable"
)


def forward(request: ChatRequest, messages: list[Message], provider: Provider) -> Forward:
    """The request as one Triton input; the answer is unwrapped on its way back."""
    body = chat.encode(request, messages=messages, model=provider.model, metadata={})
    verb = "generate_stream" if request.stream else "generate"
    return Forward(
        cluster=provider.cluster,
        path=f"/v2/models/{provider.model}/{verb}",
        body=chat.encode_json({"REQUEST": body.decode()}),
        edits=(ResponseEdit(whole=_unwrap_whole, stream=_UnwrapStream),),
    )


def _unwrap(payload: bytes) -> bytes | None:
    """The OpenAI JSON inside one Triton answer."""
    answer = chat.decode_object(payload)
    text = answer.get("RESPONSE") if answer else None
    return text.encode() if isinstance(text, str) else None


def _unwrap_whole(answer: Whole) -> Whole:
    body = _unwrap(answer.body) if answer.status == 200 else None
    if body is None:
        return Whole(status=503, content_type="application/json", body=_UNAVAILABLE)
    fault = (chat.decode_object(body) or {}).get("error")
    # The model tells a bad request from a good one; Triton's endpoint has no status for it.
    return Whole(status=200 if fault is None else 400, content_type="application/json", body=body)


class _UnwrapStream:
    def __init__(self) -> None:
        self._events = sse.EventDecoder()

    def feed(self, chunk: bytes) -> bytes:
        return self._frame(self._events.feed(chunk))

    def flush(self) -> bytes:
        return self._frame(self._events.flush()) + sse.DONE

    @staticmethod
    def _frame(events: list[bytes]) -> bytes:
        return b"".join(sse.event(_unwrap(payload) or _UNAVAILABLE) for payload in events)

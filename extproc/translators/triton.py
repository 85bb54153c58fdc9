"""A chat model on Triton: its generate endpoints carry the JSON of OpenAI chat completions as text.

Request `{"REQUEST": "<OpenAI request>"}`; response `{"model_name": ..., "RESPONSE": "<OpenAI response>"}`, or one event
of that form for each chunk.
https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_generate.md
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extproc.codecs import sse
from extproc.codecs.json_values import decode_object, encode_json
from extproc.conversation.chat_completion_json import encode_error
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.messages import Message
from extproc.response_stages.stage import ResponseStage, WholeResponse
from extproc.shared.filter_config import Provider
from extproc.translators.openai import encode_request
from extproc.translators.translator import ProviderRequest

_UNAVAILABLE: Final = encode_error("The model did not answer: try again later.", "api_error", "model_unavailable")


class TritonTranslator:
    """Implements `Translator`."""

    def request(self, chat: ChatRequest, messages: Sequence[Message], provider: Provider) -> ProviderRequest:
        verb = "generate_stream" if chat.stream else "generate"
        body = encode_request(chat, messages, provider)
        return ProviderRequest(encode_json({"REQUEST": body.decode()}), f"/v2/models/{provider.model}/{verb}")

    def response_stage(self) -> ResponseStage | None:
        return TritonResponseStage()


class TritonResponseStage:
    """Unwraps the OpenAI JSON. Each event of a stream becomes one of OpenAI's, and the stream ends as OpenAI's do."""

    def __init__(self) -> None:
        self._events = sse.EventDecoder()

    async def whole(self, response: WholeResponse) -> WholeResponse:
        body = _unwrap(response.body) if response.status == 200 else None
        if body is None:
            return WholeResponse(503, "application/json", _UNAVAILABLE)
        # Triton answers with 200 whatever the model says of the request.
        is_error = "error" in (decode_object(body) or {})
        return WholeResponse(400 if is_error else 200, "application/json", body)

    async def feed(self, chunk: bytes) -> bytes:
        return _reframe(self._events.feed(chunk))

    async def finish(self) -> bytes:
        return _reframe(self._events.flush()) + sse.DONE


def _reframe(payloads: Sequence[bytes]) -> bytes:
    return b"".join(sse.event(_unwrap(payload) or _UNAVAILABLE) for payload in payloads)


def _unwrap(payload: bytes) -> bytes | None:
    """Returns the OpenAI JSON in one Triton response, or None if there is none."""
    fields = decode_object(payload)
    text = fields.get("RESPONSE") if fields else None
    return text.encode() if isinstance(text, str) else None

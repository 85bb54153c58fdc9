"""The client API of OpenAI chat completions. It is the canonical form itself, so responses pass as they are.

https://platform.openai.com/docs/api-reference/chat
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extproc.codecs import sse
from extproc.codecs.json_values import decode_request
from extproc.conversation import chat_completion_json, state
from extproc.conversation.chat_request import DECODED_FIELDS, ChatRequest
from extproc.conversation.completion import Completion
from extproc.conversation.messages import checked_messages
from extproc.decision import ToolCall
from extproc.errors import InvalidRequest
from extproc.response_stages.stage import ResponseStage
from extproc.shared.filter_config import JsonValue


class ChatCompletions:
    """Implements `Endpoint`."""

    path: Final = "/v1/chat/completions"

    def parse(self, body: bytes, *, is_large: bool = False) -> ChatRequest:
        if not body:
            raise InvalidRequest("The request has no body: send a JSON object with `messages`.")
        fields, values = decode_request(body, DECODED_FIELDS)
        return ChatRequest(
            fields=fields,
            messages=checked_messages(values.get("messages")),
            model=_model(values.get("model")),
            stream=_stream(values.get("stream")),
            metadata=_metadata(values.get("metadata")),
            is_large=is_large,
        )

    def completion(self, completion: Completion) -> bytes:
        return chat_completion_json.encode_completion(completion)

    def stream(
        self, completion: Completion, tool_calls: Sequence[ToolCall] = (), *, include_usage: bool = False
    ) -> bytes:
        chunks = state.tool_chunks(tool_calls) if tool_calls else ()
        stream = chat_completion_json.encode_stream(completion, include_usage=include_usage)
        return b"".join(map(sse.event, chunks)) + stream

    def error(self, message: str, error_type: str, code: str) -> bytes:
        return chat_completion_json.encode_error(message, error_type, code)

    def stream_error(self, message: str, error_type: str, code: str) -> bytes:
        return sse.event(self.error(message, error_type, code))

    def response_stage(self) -> ResponseStage | None:
        return None


def _model(value: JsonValue) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise InvalidRequest("`model` must be a string.")


def _stream(value: JsonValue) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise InvalidRequest("`stream` must be true or false.")


def _metadata(value: JsonValue) -> dict[str, JsonValue]:
    if value is None:
        return {}
    if isinstance(value, dict):
        return value
    raise InvalidRequest("`metadata` must be an object.")

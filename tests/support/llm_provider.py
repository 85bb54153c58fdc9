"""A mock LLM provider: any prefix + /chat/completions, JSON or SSE, in the OpenAI shape.

In a test: `with LlmProvider() as provider:`, see `MockServer`. On its own: `python -m tests.support.llm_provider
--port N`. The answer is always "You said: " and the last user message, with one SSE chunk per word.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from tests.support.behaviour import Answer, Behaviour
from tests.support.mock_server import MockServer, run_from_command_line
from tests.support.received import Received

# A constant instead of the clock: equal requests get equal bytes.
_CREATED: Final = 1_760_000_000
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def completion(text: str, *, model: str, prompt_tokens: int = 0) -> dict[str, Any]:
    """A `chat.completion` with every field that the OpenAI API always sends."""
    return {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": _CREATED,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _usage(prompt_tokens, text),
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }


def chunks(text: str, *, model: str, prompt_tokens: int = 0, include_usage: bool = False) -> list[dict[str, Any]]:
    """The `chat.completion.chunk`s of one answer: the role, one for each word, the end, and the usage if requested."""
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": "", "refusal": None}, None)]
    deltas += [({"content": word}, None) for word in re.findall(r"\s*\S+|\s+$", text)]
    deltas.append(({}, "stop"))
    head = {
        "id": "chatcmpl-mock",
        "object": "chat.completion.chunk",
        "created": _CREATED,
        "model": model,
        "service_tier": "default",
        "system_fingerprint": "fp_mock",
    }
    # With include_usage every chunk but the last carries a null usage.
    usage: dict[str, Any] = {"usage": None} if include_usage else {}
    answer = [
        {
            **head,
            "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}],
            **usage,
        }
        for delta, reason in deltas
    ]
    if include_usage:
        answer.append({**head, "choices": [], "usage": _usage(prompt_tokens, text)})
    return answer


def error(status: int, message: str) -> dict[str, Any]:
    """An error body in the OpenAI shape."""
    kind = _ERROR_TYPES.get(status, "server_error")
    return {"error": {"message": message, "type": kind, "param": None, "code": None}}


def _usage(prompt_tokens: int, text: str) -> dict[str, Any]:
    completion_tokens = len(text.split())
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _text_of(content: object) -> str:
    """The text of a message's content, which may be a string, a list of parts, or null."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return " ".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return ""


def _json_answer(body: dict[str, Any]) -> Answer:
    return Answer("application/json", (json.dumps(body).encode(),))


class LlmProvider(MockServer):
    """A mock LLM provider."""

    def answer(self, received: Received, behaviour: Behaviour) -> Answer:
        if behaviour.status >= 400:
            return _json_answer(error(behaviour.status, behaviour.text or f"mock error {behaviour.status}"))
        messages, model, stream, include_usage = _parse(received)
        prompt = next((_text_of(message.get("content")) for message in reversed(messages) if _is_user(message)), "")
        text = behaviour.text if behaviour.text is not None else f"You said: {prompt}"
        prompt_tokens = sum(len(_text_of(message.get("content")).split()) for message in messages)
        if not stream:
            return _json_answer(completion(text, model=model, prompt_tokens=prompt_tokens))
        events = chunks(text, model=model, prompt_tokens=prompt_tokens, include_usage=include_usage)
        lines = [f"data: {json.dumps(event, ensure_ascii=False)}\n\n".encode() for event in events]
        return Answer("text/event-stream", (*lines, b"data: [DONE]\n\n"), streamed=True)

    def refusal(self, received: Received) -> tuple[int, str] | None:
        if not received.path.endswith("/chat/completions"):
            return 404, f"Unknown path {received.path}"
        if received.method != "POST":
            return 405, f"Method {received.method} is not allowed"
        try:
            body = received.json()
        except ValueError:
            return 400, "The body is not JSON"
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
            return 400, "'messages' is a required property"
        return None

    def refuse(self, status: int, message: str) -> Answer:
        return _json_answer(error(status, message))


def _is_user(message: dict[str, Any]) -> bool:
    return message.get("role") == "user"


def _parse(received: Received) -> tuple[list[dict[str, Any]], str, bool, bool]:
    """Returns messages, model, `stream` and `include_usage` of a request that `refusal` accepted."""
    body = received.json()
    options = body.get("stream_options") or {}
    messages = [message for message in body["messages"] if isinstance(message, dict)]
    return messages, str(body.get("model")), body.get("stream") is True, options.get("include_usage") is True


if __name__ == "__main__":
    run_from_command_line(LlmProvider)

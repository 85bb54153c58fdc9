"""OpenAI chat completions for the model `chat`: parses requests, and builds responses, chunks and errors. Pure.

Used by generation.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triton_models.errors import RequestError

DEFAULT_MAX_TOKENS = 256
# Sampling parameters that llama.cpp takes under OpenAI's names. Tools, response formats and unknown fields are ignored:
# a model of 135 million parameters cannot honour them, and a client that sends them to every provider still gets an
# answer.
_SAMPLING = ("temperature", "top_p", "stop", "seed", "presence_penalty", "frequency_penalty")
_ROLES = {"system", "user", "assistant"}
_MODEL_NAME = "smollm2-135m-instruct"


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """A valid request."""

    messages: list[dict[str, str]]
    options: dict[str, Any]
    stream: bool
    include_usage: bool
    model: str

    def to_llama(self) -> dict[str, Any]:
        """Returns llama.cpp's request. It always streams, so that it can stop between two tokens."""
        return {
            **self.options,
            "messages": self.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }


def parse(text: str, limit: int) -> CompletionRequest:
    """Parses a request for at most `limit` new tokens. Raises RequestError with a message for the caller."""
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise RequestError(f"the request is not JSON: {error}") from error
    if not isinstance(body, Mapping) or not isinstance(body.get("messages"), list) or not body["messages"]:
        raise RequestError("messages must be a list of at least one message")
    options = {name: body[name] for name in _SAMPLING if body.get(name) is not None}
    options["max_tokens"] = min(limit, _max_tokens(body))
    stream_options = body.get("stream_options")
    return CompletionRequest(
        messages=[_message(message) for message in body["messages"]],
        options=options,
        stream=body.get("stream") is True,
        include_usage=isinstance(stream_options, Mapping) and stream_options.get("include_usage") is True,
        model=body["model"] if isinstance(body.get("model"), str) else _MODEL_NAME,
    )


def _max_tokens(body: Mapping[str, Any]) -> int:
    # OpenAI renamed max_tokens; the new name wins.
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise RequestError(f"{name} must be a whole number of at least 1")
        return value
    return DEFAULT_MAX_TOKENS


def _message(message: Any) -> dict[str, str]:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RequestError("each message must be an object with a role")
    role = message["role"]
    if role == "developer":
        role = "system"
    elif role not in _ROLES:
        role = "user"  # the template has no tool or function role; the content is still read
    return {"role": role, "content": _content(message.get("content"))}


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
        return "\n".join(part for part in parts if isinstance(part, str))
    return ""


def chunk(raw: Mapping[str, Any], model: str) -> dict[str, Any]:
    """Returns llama.cpp's chunk `raw` with the client's model name, without extra fields and file paths."""
    kept = {name: raw[name] for name in ("id", "object", "created") if name in raw} | {"model": model}
    kept["choices"] = [
        {
            "index": choice.get("index", 0),
            "delta": _delta(choice.get("delta", {})),
            "logprobs": None,
            "finish_reason": choice.get("finish_reason"),
        }
        for choice in raw.get("choices", [])
    ]
    if raw.get("usage"):
        kept["usage"] = usage(raw["usage"])
    return kept


def _delta(raw: Mapping[str, Any]) -> dict[str, Any]:
    # The first chunk has the role and an empty text, as OpenAI's; llama.cpp has null.
    return {**raw, "content": raw["content"] or ""} if "content" in raw else dict(raw)


def usage(raw: Mapping[str, Any]) -> dict[str, int]:
    """Returns the token counts."""
    return {name: int(raw.get(name, 0)) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


class CompletionBuilder:
    """Joins the chunks into one response, for a request without streaming."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self._head: dict[str, Any] = {}
        self._finish: str | None = None
        self._usage: dict[str, int] | None = None

    def add(self, part: Mapping[str, Any]) -> None:
        """Adds a chunk that `chunk` returned."""
        self._head = {name: part[name] for name in ("id", "created", "model") if name in part}
        for choice in part["choices"]:
            self._text.append(choice["delta"].get("content") or "")
            self._finish = choice["finish_reason"] or self._finish
        self._usage = part.get("usage", self._usage)

    def completion(self) -> dict[str, Any]:
        """Returns the chat.completion."""
        message = {"role": "assistant", "content": "".join(self._text), "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": self._finish or "stop"}
        return {
            **self._head,
            "object": "chat.completion",
            "choices": [choice],
            "usage": self._usage or usage({}),
        }


def error(message: str, kind: str = "invalid_request_error", code: str | None = None) -> dict[str, Any]:
    """Returns an error object in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}

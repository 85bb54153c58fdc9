"""Parses the request of the role `function`, REQUEST {"messages", "tools"}. Pure; used by needle_caller.py, arch.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from triton_models.errors import RequestError

# About 1,000 tokens, 2 s of reading. The request stands at the beginning or the end of a long text.
MAX_CHARACTERS = 2000
_GAP = "\n...\n"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation. `role`: as in OpenAI's format."""

    role: str
    text: str


def parse_request(request: str) -> tuple[list[dict[str, Any]], list[Message]]:
    """Returns the tools, each {"name", "description", "parameters"}, and the messages.

    Raises RequestError with a message for the client.
    """
    document = _decode(request)
    messages, tools = document.get("messages", []), document.get("tools")
    if not isinstance(messages, list) or not isinstance(tools, list):
        raise RequestError('"messages" and "tools" of REQUEST must be lists')
    return [_tool(tool) for tool in tools], [_message(message) for message in messages]


def shorten(text: str) -> str:
    """Cuts the middle out of a text over the limit."""
    if len(text) <= MAX_CHARACTERS:
        return text
    half = (MAX_CHARACTERS - len(_GAP)) // 2
    return text[:half] + _GAP + text[-half:]


def _decode(request: str) -> Mapping[str, Any]:
    try:
        document = json.loads(request)
    except json.JSONDecodeError as error:
        raise RequestError(f"REQUEST is not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise RequestError('REQUEST must be an object {"messages": [...], "tools": [...]}')
    return document


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RequestError('a tool of REQUEST must be {"type": "function", "function": {"name", ...}}')
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise RequestError(f"the parameters of the tool {function['name']!r} must be a JSON Schema object")
    return {"name": function["name"], "description": str(function.get("description") or ""), "parameters": parameters}


def _message(message: Any) -> Message:
    if not isinstance(message, Mapping):
        raise RequestError("a message of REQUEST must be an object")
    content = message.get("content")
    return Message(str(message.get("role")), content if isinstance(content, str) else "")

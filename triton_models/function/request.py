"""The role `function`'s request, checked: REQUEST {"messages", "tools"}. Pure; used by caller.py and arch.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from triton_models.errors import RequestError
from triton_models.function.needle_prompt import Turn


def parse(request: str) -> tuple[list[dict[str, Any]], list[Turn]]:
    """The tools, each {"name", "description", "parameters"}, and the messages. RequestError, written for the caller."""
    try:
        document = json.loads(request)
    except json.JSONDecodeError as error:
        raise RequestError(f"REQUEST is not JSON: {error}") from error
    if not isinstance(document, Mapping):
        raise RequestError('REQUEST must be an object {"messages": [...], "tools": [...]}')
    messages, tools = document.get("messages", []), document.get("tools")
    if not isinstance(messages, list) or not isinstance(tools, list):
        raise RequestError('"messages" and "tools" of REQUEST must be lists')
    return [_tool(tool) for tool in tools], [_turn(message) for message in messages]


def _tool(tool: Any) -> dict[str, Any]:
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise RequestError('a tool of REQUEST must be {"type": "function", "function": {"name", ...}}')
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(parameters, Mapping):
        raise RequestError(f"the parameters of the tool {function['name']!r} must be a JSON Schema object")
    return {"name": function["name"], "description": str(function.get("description") or ""), "parameters": parameters}


def _turn(message: Any) -> Turn:
    if not isinstance(message, Mapping):
        raise RequestError("a message of REQUEST must be an object")
    content = message.get("content")
    return Turn(str(message.get("role")), content if isinstance(content, str) else "")

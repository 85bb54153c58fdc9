"""One request to the function model, from JSON to JSON. Used by model.py.

{"messages": [...], "tools": [...]} -> {"tool_calls": [{"name", "arguments"}], "confidence"}; no call means that none
fits.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from triton_models.errors import RequestError
from triton_models.function.arguments import conform, without, without_unsaid_dates
from triton_models.function.conversation import Turn, compose, parameter_names
from triton_models.function.needle import Answer


class Asked(Protocol):
    """An engine that has read its tools."""

    def ask(self, text: str, max_new_tokens: int) -> Answer:
        """One question."""


class Pool(Protocol):
    """Where engines come from."""

    def get(self, facts: str, tools: str) -> Asked:
        """The engine that has read `tools`."""


class Caller:
    """Needle behind the contract of the role `function`."""

    def __init__(
        self, engines: Pool, max_new_tokens: int, today: Callable[[], datetime.date] = datetime.date.today
    ) -> None:
        self._engines = engines
        self._max_new_tokens = max_new_tokens
        self._today = today

    def reply(self, request: str) -> str:
        """Raises RequestError, written for the caller, when the request is not what the contract says."""
        tools, turns = _parse(request)
        if not tools:
            return json.dumps({"tool_calls": []})
        schemas = {tool["name"]: tool["parameters"] for tool in tools}
        text = compose(turns, parameter_names(schemas.values()))
        if not text:
            return json.dumps({"tool_calls": []})
        # The day without the hour: a tool set is read again whenever the facts change.
        facts = f"date: {self._today():%Y-%m-%d %a}"
        engine = self._engines.get(facts, json.dumps(tools, ensure_ascii=False, separators=(",", ":")))
        answer = engine.ask(text, self._max_new_tokens)
        calls: list[dict[str, Any]] = []
        for proposal in answer.proposals:
            if proposal.name not in schemas:
                continue
            said = without_unsaid_dates(without(proposal.arguments, proposal.ungrounded), text)
            arguments = conform(said, {"type": "object", **schemas[proposal.name]})
            call = {"name": proposal.name, "arguments": arguments}
            if call not in calls:  # it repeats itself when a text says the same thing twice
                calls.append(call)
        return json.dumps({"tool_calls": calls, "confidence": answer.confidence}, ensure_ascii=False)


def _parse(request: str) -> tuple[list[dict[str, Any]], list[Turn]]:
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

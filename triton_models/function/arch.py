"""Arch-Function's prompt format: renders the prompt and parses the calls in the completion. Pure; used by model.py.

Qwen2.5's chat template with the tools in the system message, as in the model card. The model answers with one
<tool_call> per call; an answer in words is a question or a refusal, so no call. Any engine can complete the prompt:
llama.cpp (gguf.py) or vLLM (vllm.py).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from triton_models.function.argument_conversion import conform
from triton_models.function.request import Message, parse_request, shorten

END: Final = "<|im_end|>"

_SYSTEM: Final = """\
You are a helpful assistant.

# Tools

You may call one or more functions to assist with the user query.

You are provided with function signatures within <tools></tools> XML tags:
<tools>
{tools}
</tools>

For each function call, return a json object with function name and arguments within <tool_call></tool_call> XML tags:
<tool_call>
{{"name": <function-name>, "arguments": <args-json-object>}}
</tool_call>"""

# The token limit may cut off the end of the last call.
_TOOL_CALL: Final = re.compile(r"<tool_call>\s*(\{.*?\})\s*(?:</tool_call>|\Z)", re.DOTALL)
# A template marker in a text would begin a message of another role.
_MARKER: Final = re.compile(r"<\|(?=\w+\|>)")
# Messages read: enough for a clarification and its answers.
_MAX_MESSAGES: Final = 12


@dataclass(frozen=True, slots=True)
class Completion:
    """The model's output. `logprob`: mean over its tokens; None if the engine gives none."""

    text: str
    logprob: float | None = None


Complete = Callable[[str, Callable[[], bool]], Completion]


class ArchCaller:
    """Arch-Function behind the interface of the role `function`.

    `complete` completes a prompt until END. `check` raises if the engine is not ready; it is called for a request
    without tools.
    """

    def __init__(self, complete: Complete, check: Callable[[], None] = lambda: None) -> None:
        self._complete = complete
        self._check = check

    def reply(self, request: str, cancelled: Callable[[], bool]) -> str:
        """Returns the calls as JSON. Raises RequestError with a message for the client if the request is malformed."""
        tools, messages = parse_request(request)
        spoken = [message for message in messages if message.role in {"user", "assistant"} and message.text.strip()]
        if not tools or not spoken:
            self._check()
            return json.dumps({"tool_calls": []})
        completion = self._complete(prompt(tools, spoken), cancelled)
        reply: dict[str, Any] = {"tool_calls": list(calls(completion.text, tools))}
        if completion.logprob is not None:
            reply["confidence"] = math.exp(min(0.0, completion.logprob))
        return json.dumps(reply, ensure_ascii=False)


def prompt(tools: Sequence[Mapping[str, Any]], messages: Sequence[Message]) -> str:
    """Returns the prompt for the model to complete."""
    listed = "\n".join(json.dumps({"type": "function", "function": tool}, ensure_ascii=False) for tool in tools)
    parts = [_chat_message("system", _SYSTEM.format(tools=_without_markers(listed)))]
    parts += [
        _chat_message(message.role, _without_markers(shorten(message.text))) for message in messages[-_MAX_MESSAGES:]
    ]
    return "".join(parts) + "<|im_start|>assistant\n"


def _chat_message(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}{END}\n"


def _without_markers(text: str) -> str:
    return _MARKER.sub("< |", text)


def calls(text: str, tools: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yields the distinct calls of offered functions in a completion, with arguments converted to their schemas."""
    schemas = {tool["name"]: {"type": "object", **tool["parameters"]} for tool in tools}
    seen: list[dict[str, Any]] = []
    for match in _TOOL_CALL.finditer(text):
        try:
            call = json.loads(match[1])
            arguments = call.get("arguments") or {}
            # Related models write the arguments as a JSON string, as OpenAI's API does.
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        except json.JSONDecodeError:
            continue  # no call, but an answer in words
        name = call.get("name")
        if not isinstance(name, str) or name not in schemas or not isinstance(arguments, Mapping):
            continue
        converted = {"name": name, "arguments": conform(arguments, schemas[name])}
        if converted not in seen:
            seen.append(converted)
            yield converted

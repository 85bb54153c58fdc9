"""Arch-Function's way of calling functions: what it is told, and what its answer means. Pure; used by model.py.

Qwen2.5's chat template with the tools in the system message, as its model card has it. It answers with one
<tool_call> a call; an answer in words is a question or a refusal, and so no call. Whatever completes the text serves:
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
from triton_models.function.needle_prompt import Turn, shorten
from triton_models.function.request import parse

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

# The last one may have lost its end to the limit of tokens.
_CALL: Final = re.compile(r"<tool_call>\s*(\{.*?\})\s*(?:</tool_call>|\Z)", re.DOTALL)
# A marker of the template in somebody's text would begin a message in another's name.
_MARKER: Final = re.compile(r"<\|(?=\w+\|>)")
# How many turns are read: enough for a question and its answers.
_TURNS: Final = 12


@dataclass(frozen=True, slots=True)
class Completion:
    """What a model wrote. `logprob`: the mean of its tokens'; None where the engine does not say."""

    text: str
    logprob: float | None = None


Complete = Callable[[str, Callable[[], bool]], Completion]


class ArchCaller:
    """Arch-Function behind the contract of the role `function`.

    `complete` goes on with a prompt, until END. `check` raises where it could not; a request without tools asks it.
    """

    def __init__(self, complete: Complete, check: Callable[[], None] = lambda: None) -> None:
        self._complete = complete
        self._check = check

    def reply(self, request: str, cancelled: Callable[[], bool]) -> str:
        """Raises RequestError, written for the caller, when the request is not what the contract says."""
        tools, turns = parse(request)
        spoken = [turn for turn in turns if turn.role in {"user", "assistant"} and turn.text.strip()]
        if not tools or not spoken:
            self._check()
            return json.dumps({"tool_calls": []})
        completion = self._complete(prompt(tools, spoken), cancelled)
        answer: dict[str, Any] = {"tool_calls": list(calls(completion.text, tools))}
        if completion.logprob is not None:
            answer["confidence"] = math.exp(min(0.0, completion.logprob))
        return json.dumps(answer, ensure_ascii=False)


def prompt(tools: Sequence[Mapping[str, Any]], turns: Sequence[Turn]) -> str:
    """The text that the model goes on with."""
    listed = "\n".join(json.dumps({"type": "function", "function": tool}, ensure_ascii=False) for tool in tools)
    parts = [_part("system", _SYSTEM.format(tools=_inert(listed)))]
    parts += [_part(turn.role, _inert(shorten(turn.text))) for turn in turns[-_TURNS:]]
    return "".join(parts) + "<|im_start|>assistant\n"


def _part(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}{END}\n"


def _inert(text: str) -> str:
    return _MARKER.sub("< |", text)


def calls(text: str, tools: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The calls in an answer, each once: of functions that were offered, with arguments as their schemas type them."""
    schemas = {tool["name"]: {"type": "object", **tool["parameters"]} for tool in tools}
    seen: list[dict[str, Any]] = []
    for match in _CALL.finditer(text):
        try:
            call = json.loads(match[1])
            arguments = call.get("arguments") or {}
            # Some of its kin write the arguments as a text of JSON, as OpenAI's API does.
            arguments = json.loads(arguments) if isinstance(arguments, str) else arguments
        except json.JSONDecodeError:
            continue  # what is no call is an answer in words
        name = call.get("name")
        if not isinstance(name, str) or name not in schemas or not isinstance(arguments, Mapping):
            continue
        made = {"name": name, "arguments": conform(arguments, schemas[name])}
        if made not in seen:
            seen.append(made)
            yield made

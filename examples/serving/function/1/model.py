"""function: REQUEST {"messages", "tools"} -> RESPONSE {"tool_calls", "confidence"}, both JSON text.

It calls the tool that shares most words with the user's text. Arguments are taken from that text: a number, a value of
the schema's enum, or a name after a preposition ("in Cape Town"). Missing arguments are left out; the gateway asks for
them.
"""

import json
import re
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]

NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NAME = re.compile(r"\b(?:in|for|of|at|to)\s+((?:[A-Z][\w'-]*\s?)+)")


class TritonPythonModel:
    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        began = time.perf_counter_ns()
        texts = pb.get_input_tensor_by_name(request, "REQUEST").as_numpy().ravel()
        try:
            replies = [[json.dumps(reply(**json.loads(text))).encode()] for text in texts]
        except (ValueError, TypeError, LookupError, AttributeError) as fault:
            return pb.InferenceResponse(error=pb.TritonError(f"REQUEST: {fault}", pb.TritonError.INVALID_ARG))
        spent = np.full((len(replies), 1), time.perf_counter_ns() - began, dtype=np.int64)
        return pb.InferenceResponse(
            [pb.Tensor("RESPONSE", np.array(replies, dtype=np.object_)), pb.Tensor("COMPUTE_NS", spent)]
        )


def reply(messages: list[Any], tools: list[Any]) -> dict[str, Any]:
    text = "\n".join(message["content"] for message in messages if message["role"] == "user")
    scored = [(shared_words(text, tool["function"]), tool["function"]) for tool in tools]
    best, chosen = max(scored, key=lambda each: each[0], default=(0, None))
    if chosen is None or not best:
        return {"tool_calls": [], "confidence": 1.0}
    call = {"name": chosen["name"], "arguments": arguments(text, chosen["parameters"]["properties"])}
    return {"tool_calls": [call], "confidence": min(1.0, 0.4 + 0.2 * best)}


def shared_words(text: str, tool: dict[str, Any]) -> int:
    return len(words(text) & words(tool["name"].replace("_", " ") + " " + tool["description"]))


def words(text: str) -> set[str]:
    return set(re.findall(r"\w{4,}", text.lower()))


def arguments(text: str, schemas: dict[str, Any]) -> dict[str, Any]:
    """Assigns the numbers and names of the text, in order, to the parameters of fitting types."""
    numbers, names = NUMBER.findall(text), [name.strip() for name in NAME.findall(text)]
    found: dict[str, Any] = {}
    for key, schema in schemas.items():
        if "enum" in schema:
            listed = [value for value in schema["enum"] if str(value).lower() in text.lower()]
            found |= {key: listed[0]} if listed else {}
        elif schema["type"] in {"integer", "number"} and numbers:
            number = float(numbers.pop(0))
            found[key] = int(number) if schema["type"] == "integer" else number
        elif schema["type"] == "string" and names:
            found[key] = names.pop(0)
    return found

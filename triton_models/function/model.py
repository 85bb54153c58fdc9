"""Triton's model `function`: REQUEST {"messages", "tools"} -> RESPONSE {"tool_calls", "confidence"}, both JSON text."""

from __future__ import annotations

from typing import Any

from triton_models.adaptor import Array, Parameters, answer, bytes_tensor, texts
from triton_models.function.caller import Caller
from triton_models.function.needle import Engines


class TritonPythonModel:
    """The shape that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Verifies and loads Needle."""
        parameters = Parameters(args["model_config"])
        engines = Engines(parameters.directory("needle"), parameters.integer("engines", 3))
        self._caller = Caller(engines, parameters.integer("max_new_tokens", 512))

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request."""
        return [answer(request, "RESPONSE", self._call) for request in requests]

    def _call(self, request: Any) -> Array:
        replies = [self._caller.reply(text) for text in texts(request, "REQUEST")]
        return bytes_tensor(replies, (len(replies), 1))

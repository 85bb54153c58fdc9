"""Triton model `function`: REQUEST {"messages", "tools"} -> RESPONSE {"tool_calls", "confidence"}, both JSON strings.

Imported by Triton's Python backend.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from triton_models.adaptor import Array, Parameters, answer, bytes_tensor, texts

Reply = Callable[[str, Callable[[], bool]], str]


class TritonPythonModel:
    """The class that Triton's Python backend instantiates."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the engine named in config.pbtxt, and imports only its dependencies."""
        parameters = Parameters(args["model_config"])
        load = {"libneedle3": _needle, "llama.cpp": _gguf, "vllm": _vllm}
        self._reply = load[parameters.text("engine", "libneedle3")](parameters)

    def execute(self, requests: list[Any]) -> list[Any]:
        """Returns one response per request."""
        return [answer(request, "RESPONSE", self._call) for request in requests]

    def _call(self, request: Any) -> Array:
        replies = [self._reply(text, request.is_cancelled) for text in texts(request, "REQUEST")]
        return bytes_tensor(replies, (len(replies), 1))


def _needle(parameters: Parameters) -> Reply:
    from triton_models.function.needle import NeedleEngines  # noqa: PLC0415
    from triton_models.function.needle_caller import NeedleCaller  # noqa: PLC0415

    engines = NeedleEngines(parameters.directory("model"), parameters.integer("engines", 8))
    caller = NeedleCaller(engines, parameters.integer("max_new_tokens", 512))
    return lambda text, _: caller.reply(text)


def _gguf(parameters: Parameters) -> Reply:
    from triton_models.function.arch import ArchCaller  # noqa: PLC0415
    from triton_models.function.gguf import Gguf  # noqa: PLC0415

    engine = Gguf(
        parameters.directory("model"),
        threads=parameters.integer("threads", 1),
        context=parameters.integer("context", 8192),
        max_new_tokens=parameters.integer("max_new_tokens", 512),
    )
    return ArchCaller(engine.complete).reply


def _vllm(parameters: Parameters) -> Reply:
    from triton_models.function.arch import ArchCaller  # noqa: PLC0415
    from triton_models.function.vllm import Vllm  # noqa: PLC0415

    engine = Vllm(parameters.text("vllm", ""), max_new_tokens=parameters.integer("max_new_tokens", 512))
    return ArchCaller(engine.complete, engine.check).reply

"""Triton's decoupled model `chat`: REQUEST -> RESPONSE, as OpenAI's JSON: one completion, or its chunks."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import triton_python_backend_utils as pb  # type: ignore[import-not-found]

from triton_models.adaptor import Parameters, bytes_tensor, error_response, texts
from triton_models.chat.completions import error, parse
from triton_models.chat.generation import ChatGenerator
from triton_models.errors import RequestError
from triton_models.llama_cpp import gguf


class TritonPythonModel:
    """The class that Triton's Python backend looks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model."""
        parameters = Parameters(args["model_config"])
        slots = parameters.integer("slots", 2)
        self._limit = parameters.integer("max_tokens", 1024)
        self._generator = ChatGenerator(
            gguf(parameters.directory("model")),
            threads=parameters.integer("threads", 1),
            slots=slots,
            context=parameters.integer("context", 4096),
        )
        self._pool = ThreadPoolExecutor(slots, "chat")

    def execute(self, requests: list[Any]) -> None:
        """Answers from threads, one per slot. Further requests wait."""
        for request in requests:
            self._pool.submit(self._answer, texts(request, "REQUEST"), request.get_response_sender())

    def _answer(self, bodies: list[str], sender: Any) -> None:
        def send(text: str) -> None:
            sender.send(pb.InferenceResponse([pb.Tensor("RESPONSE", bytes_tensor([text], (1,)))]))

        try:
            if sender.is_cancelled():
                return
            if len(bodies) != 1:
                raise RequestError("REQUEST must hold one text")  # noqa: TRY301 - answered like any other error
            self._generator.complete(parse(bodies[0], self._limit), send, sender.is_cancelled)
        except RequestError as refusal:
            send(json.dumps(error(str(refusal))))
        except Exception as bug:  # noqa: BLE001 - the caller must get an end of the stream
            sender.send(error_response(bug))
        finally:
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def finalize(self) -> None:
        """Waits for running answers."""
        self._pool.shutdown(cancel_futures=True)

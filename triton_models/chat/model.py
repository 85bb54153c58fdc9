"""Triton's model `chat`, decoupled: REQUEST, an OpenAI chat-completions request, -> RESPONSE, one completion or its
chunks.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import triton_python_backend_utils as pb  # type: ignore[import-not-found]

from triton_models.adaptor import Parameters, bytes_tensor, failure, texts
from triton_models.chat.completions import error, parse
from triton_models.chat.generation import Llama
from triton_models.errors import RequestError
from triton_models.llama_cpp import gguf


class TritonPythonModel:
    """The shape that Triton's Python backend asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """Loads the model."""
        parameters = Parameters(args["model_config"])
        slots = parameters.integer("slots", 2)
        self._limit = parameters.integer("max_tokens", 1024)
        self._llama = Llama(
            gguf(parameters.directory("model")),
            threads=parameters.integer("threads", 1),
            slots=slots,
            context=parameters.integer("context", 4096),
        )
        self._pool = ThreadPoolExecutor(slots, "chat")

    def execute(self, requests: list[Any]) -> None:
        """Answers from threads, as many at once as there are slots; the others wait."""
        for request in requests:
            self._pool.submit(self._answer, texts(request, "REQUEST"), request.get_response_sender())

    def _answer(self, bodies: list[str], sender: Any) -> None:
        def send(text: str) -> None:
            sender.send(pb.InferenceResponse([pb.Tensor("RESPONSE", bytes_tensor([text], (1,)))]))

        try:
            if sender.is_cancelled():
                return
            if len(bodies) != 1:
                raise RequestError("REQUEST must hold one text")  # noqa: TRY301 - answered like any other fault
            self._llama.complete(parse(bodies[0], self._limit), send, sender.is_cancelled)
        except RequestError as fault:
            send(json.dumps(error(str(fault))))
        except Exception as fault:  # noqa: BLE001 - the edge: whoever waits must hear the end
            sender.send(failure(fault))
        finally:
            sender.send(flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def finalize(self) -> None:
        """Waits for running answers."""
        self._pool.shutdown(cancel_futures=True)

"""SmolLM2 through llama.cpp, in this process. Used by model.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from triton_models.chat.completions import Completion, Whole, chunk, error
from triton_models.llama_cpp import open_server

Send = Callable[[str], None]


class Llama:
    """A GGUF model with `slots` conversations at once, `context` tokens of prompts and answers between them."""

    def __init__(self, model: Path, *, threads: int, slots: int, context: int) -> None:
        self._server = open_server(model, threads=threads, slots=slots, context=context)

    def complete(self, request: Completion, send: Send, cancelled: Callable[[], bool]) -> None:
        """Sends the answer as JSON texts: chunks when asked to stream, else one. Stops when `cancelled`, which it asks
        each token.

        What llama.cpp refuses (a conversation longer than the context) is sent as an OpenAI error object.
        """
        whole = Whole()
        refused = False

        def take(raw: Mapping[str, Any]) -> bool:
            nonlocal refused
            if "error" in raw:
                refused = True
                fault = raw["error"]
                send(json.dumps(error(str(fault.get("message")), code=_code(str(fault.get("type"))))))
                return True
            part = chunk(raw, request.model)
            if not request.stream:
                whole.add(part)
            elif part["choices"] or request.include_usage:
                send(json.dumps(part, ensure_ascii=False))
            return cancelled()

        self._server.handle_chat_completions(request.to_llama(), take)
        if not request.stream and not refused and not cancelled():
            send(json.dumps(whole.completion(), ensure_ascii=False))


def _code(kind: str) -> str | None:
    return "context_length_exceeded" if kind == "exceed_context_size_error" else None

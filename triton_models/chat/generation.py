"""Generates chat completions with llama.cpp in this process. Used by model.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from triton_models.chat.completions import CompletionBuilder, CompletionRequest, chunk, error
from triton_models.llama_cpp import open_server

Send = Callable[[str], None]


class ChatGenerator:
    """A GGUF model with `slots` concurrent conversations that share `context` tokens of prompts and answers."""

    def __init__(self, model: Path, *, threads: int, slots: int, context: int) -> None:
        self._server = open_server(model, threads=threads, slots=slots, context=context)

    def complete(self, request: CompletionRequest, send: Send, cancelled: Callable[[], bool]) -> None:
        """Sends the response as JSON texts: chunks for a stream, else one. Checks `cancelled` after each token.

        A request that llama.cpp refuses (a conversation longer than the context) gets an OpenAI error object.
        """
        builder = CompletionBuilder()
        refused = False

        def take(raw: Mapping[str, Any]) -> bool:
            nonlocal refused
            if "error" in raw:
                refused = True
                refusal = raw["error"]
                send(json.dumps(error(str(refusal.get("message")), code=_code(str(refusal.get("type"))))))
                return True
            part = chunk(raw, request.model)
            if not request.stream:
                builder.add(part)
            elif part["choices"] or request.include_usage:
                send(json.dumps(part, ensure_ascii=False))
            return cancelled()

        self._server.handle_chat_completions(request.to_llama(), take)
        if not request.stream and not refused and not cancelled():
            send(json.dumps(builder.completion(), ensure_ascii=False))


def _code(kind: str) -> str | None:
    return "context_length_exceeded" if kind == "exceed_context_size_error" else None

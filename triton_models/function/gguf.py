"""Completes prompts of Arch-Function, or a related model, from a GGUF file with llama.cpp. Used by model.py."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from triton_models.errors import Cancelled, RequestError
from triton_models.function.arch import END, Completion
from triton_models.llama_cpp import gguf, open_server


class Gguf:
    """Completes one prompt at a time. A common prefix of two prompts, such as the tools, is read once."""

    def __init__(self, directory: Path, *, threads: int, context: int, max_new_tokens: int) -> None:
        self._server = open_server(gguf(directory), threads=threads, slots=1, context=context)
        self._max_new_tokens = max_new_tokens

    def complete(self, prompt: str, cancelled: Callable[[], bool]) -> Completion:
        """Returns the most likely completion. Raises RequestError for a long prompt, Cancelled between two tokens."""
        texts: list[str] = []
        logprobs: list[float] = []
        errors: list[str] = []
        stopped = False

        def take(raw: Mapping[str, Any]) -> bool:
            nonlocal stopped
            if "error" in raw:
                errors.append(str(raw["error"].get("message")))
                return True
            for choice in raw.get("choices", []):
                texts.append(choice.get("text") or "")
                content = (choice.get("logprobs") or {}).get("content") or []
                logprobs.extend(float(token["logprob"]) for token in content)
            stopped = cancelled()
            return stopped

        self._server.handle_completions(
            {
                "prompt": prompt,
                "max_tokens": self._max_new_tokens,
                "temperature": 0,
                "stop": [END],
                "logprobs": 1,
                "stream": True,  # so that a cancelled request can stop it
            },
            take,
        )
        if errors:
            raise RequestError(f"the function model refuses the request: {errors[0]}")
        if stopped:
            raise Cancelled("the caller no longer waits")
        return Completion("".join(texts), sum(logprobs) / len(logprobs) if logprobs else None)

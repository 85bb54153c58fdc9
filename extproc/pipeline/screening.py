"""What the guards read of a request, and what of it no model shall ever read again."""

from __future__ import annotations

from collections.abc import Sequence

from extproc.apis import chat
from extproc.apis.chat import ChatRequest
from extproc.contract import Guard


def texts(request: ChatRequest) -> tuple[str, ...]:
    """Every text of every message."""
    return tuple(text for message in request.messages for text in chat.texts(message) if text)


def without_refused(request: ChatRequest, guards: Sequence[Guard]) -> ChatRequest:
    """The request without the turns that the gateway refused."""
    return request

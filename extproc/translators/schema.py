"""The interface of a provider's wire format: one file beside this one for each, and a table here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from extproc.decision import Forward
from extproc.endpoints.chat_completions import ChatRequest, Message
from extproc.shared.filter_config import Provider, Schema
from extproc.translators import openai, triton

# (request, its messages as they shall leave, provider) -> what Envoy sends.
_WIRES: Final[Mapping[Schema, Callable[[ChatRequest, list[Message], Provider], Forward]]] = {
    Schema.OPENAI: openai.forward,
    Schema.TRITON: triton.forward,
}


def forward(request: ChatRequest, messages: list[Message], provider: Provider) -> Forward:
    """The request as `provider` wants it, without what is the gateway's own."""
    return _WIRES[provider.schema](request, [_plain(message, provider) for message in messages], provider)


def _plain(message: Message, provider: Provider) -> Message:
    """`model` inside a message is the gateway's own convention, which providers refuse; not all know `developer`."""
    if message["role"] == "developer" and not provider.accepts_developer:
        message = {**message, "role": "system"}
    if "model" not in message:
        return message
    return {name: value for name, value in message.items() if name != "model"}

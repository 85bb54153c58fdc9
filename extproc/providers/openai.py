"""Clients of OpenAI chat completions, providers of the same: only the model's name and what is our own change."""

from __future__ import annotations

from extproc.apis import chat, state
from extproc.apis.chat import ChatRequest, Message
from extproc.contract import Provider
from extproc.decision import Forward


def forward(request: ChatRequest, messages: list[Message], provider: Provider) -> Forward:
    """The request under the provider's model name. Its answer passes back untouched."""
    metadata = state.without(request.metadata) if provider.accepts_metadata else {}
    body = chat.encode(request, messages=messages, model=provider.model, metadata=metadata)
    return Forward(cluster=provider.cluster, body=body)

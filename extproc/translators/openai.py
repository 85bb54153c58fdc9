"""Clients of OpenAI chat completions, providers of the same: only the model's name and what is our own change."""

from __future__ import annotations

from extproc.conversation import state
from extproc.decision import Forward
from extproc.endpoints import chat_completions
from extproc.endpoints.chat_completions import ChatRequest, Message
from extproc.shared.filter_config import Provider


def forward(request: ChatRequest, messages: list[Message], provider: Provider) -> Forward:
    """The request under the provider's model name. Its answer passes back untouched."""
    metadata = state.client_metadata(request.metadata) if provider.accepts_metadata else {}
    body = chat_completions.encode(request, messages=messages, model=provider.model, metadata=metadata)
    return Forward(cluster=provider.cluster, body=body)

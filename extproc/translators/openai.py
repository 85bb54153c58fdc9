"""Providers of OpenAI chat completions, the canonical form: only the model and the gateway's own fields change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extproc.codecs.json_values import encode_json
from extproc.conversation import state
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.messages import Message
from extproc.response_stages.stage import ResponseStage
from extproc.shared.filter_config import Provider
from extproc.translators.translator import ProviderRequest

_PATH: Final = "/v1/chat/completions"


class OpenAiTranslator:
    """Implements `Translator`. Responses pass untouched."""

    def request(self, chat: ChatRequest, messages: Sequence[Message], provider: Provider) -> ProviderRequest:
        return ProviderRequest(encode_request(chat, messages, provider), _PATH)

    def response_stage(self) -> ResponseStage | None:
        return None


def encode_request(chat: ChatRequest, messages: Sequence[Message], provider: Provider) -> bytes:
    """Returns the body of a chat completions request. An empty `metadata` is left out."""
    fields: dict[str, object] = {**chat.fields, "messages": messages, "model": provider.model}
    metadata = state.client_metadata(chat.metadata) if provider.accepts_metadata else None
    if metadata:
        fields["metadata"] = metadata
    else:
        fields.pop("metadata", None)
    return encode_json(fields)

"""Every provider schema that the gateway speaks. Used by the pipeline for requests, by the gateway for responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.messages import Message
from extproc.decision import Forward, ResponseEdit
from extproc.response_stages.stage import ResponseContext, ResponseStage
from extproc.shared.filter_config import Provider, Schema
from extproc.translators.openai import OpenAiTranslator
from extproc.translators.translator import Translator
from extproc.translators.triton import TritonTranslator

_TRANSLATORS: Final[Mapping[Schema, Translator]] = {
    Schema.OPENAI: OpenAiTranslator(),
    Schema.TRITON: TritonTranslator(),
}
# Schemas whose responses are in the canonical form: Envoy need not show them to the filter.
_CANONICAL: Final = frozenset(
    schema for schema, translator in _TRANSLATORS.items() if translator.response_stage() is None
)


def forward(chat: ChatRequest, messages: Sequence[Message], provider: Provider) -> Forward:
    """Returns `chat` with `messages` as `provider` wants it, without what is the gateway's own."""
    cleaned = [_for_provider(message, provider) for message in messages]
    request = _TRANSLATORS[provider.schema].request(chat, cleaned, provider)
    edit = None if provider.schema in _CANONICAL else ResponseEdit(schema=provider.schema)
    return Forward(cluster=provider.cluster, body=request.body, path=request.path, edit=edit)


def translation_stage(context: ResponseContext) -> ResponseStage | None:
    """Returns the stage that turns the provider's response into the canonical form."""
    return _TRANSLATORS[context.edit.schema].response_stage()


def _for_provider(message: Message, provider: Provider) -> Message:
    """Removes `model`, a convention of the gateway that providers refuse. Not all of them know `developer`."""
    if message["role"] == "developer" and not provider.accepts_developer:
        message = {**message, "role": "system"}
    if "model" not in message:
        return message
    return {name: value for name, value in message.items() if name != "model"}

"""The interface of a provider schema. Each schema is one file beside this one and one row in registry.py."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.messages import Message
from extproc.response_stages.stage import ResponseStage
from extproc.shared.filter_config import Provider


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """The request as it leaves. The provider's route replaces `/v1/` at the beginning of `path` by its base URL."""

    body: bytes
    path: str


class Translator(Protocol):
    """Converts between the canonical form and one provider schema."""

    def request(self, chat: ChatRequest, messages: Sequence[Message], provider: Provider) -> ProviderRequest:
        """Returns the provider's request: `chat` with `messages` in place of its own, under the provider's model."""

    def response_stage(self) -> ResponseStage | None:
        """Returns the stage that turns a response into the canonical form, or None where it is that already."""

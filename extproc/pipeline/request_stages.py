"""Parses a request and runs the request stages on it, in order. Used by both listeners, before they decide.

A stage allows, blocks or transforms the request. It may be a guard, a filter for personal data or a cache. gateway.py
lists the stages of each listener.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from extproc.conversation.chat_request import ChatRequest
from extproc.decision import DynamicMetadata, Forward, HttpRequest, Reply
from extproc.endpoints.endpoint import Endpoint
from extproc.pipeline.guard import refused_turns
from extproc.pipeline.request_context import RequestContext
from extproc.shared.filter_config import Guard

_Decision = TypeVar("_Decision", bound=Forward | Reply)


@dataclass(frozen=True, slots=True)
class Allow:
    """The request goes on as it is."""

    dynamic_metadata: DynamicMetadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """The client gets `reply`, and no later stage runs."""

    reply: Reply
    dynamic_metadata: DynamicMetadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Transform:
    """The request goes on as `chat`. The stage runs on it once more, so that nothing leaves unchecked."""

    chat: ChatRequest


Outcome = Allow | Block | Transform


class RequestStage(Protocol):
    """One check of a request."""

    async def check(self, context: RequestContext) -> Outcome:
        """Raises `GatewayError`. For a context that `is_transformed` it must not transform again."""


@dataclass(frozen=True, slots=True)
class StagesResult:
    """The request after all stages. `reply` None: no stage blocked it."""

    context: RequestContext
    reply: Reply | None
    dynamic_metadata: DynamicMetadata


@dataclass(frozen=True, slots=True)
class RequestStages:
    """The stages of one listener.

    `guards`: earlier turns that these guards refused are dropped. `reencodes`: structured fields are encoded anew, so
    that none is forwarded with a duplicate key. Else fields that the gateway does not act on are forwarded unchanged.
    """

    stages: Sequence[RequestStage]
    guards: Sequence[Guard] = ()
    reencodes: bool = True

    def parse(self, request: HttpRequest, endpoint: Endpoint) -> RequestContext:
        """Returns the request without the turns that a guard refused before. Raises `InvalidRequest`."""
        chat = endpoint.parse(request.body, is_large=request.is_large)
        if self.reencodes:
            chat = refused_turns.drop_turns_with_refusal(chat.reencoded(), self.guards)
        return RequestContext(chat, request, endpoint)

    async def run(
        self, context: RequestContext, on_transform: Callable[[RequestContext], None] | None = None
    ) -> StagesResult:
        """Runs the stages in order. Calls `on_transform` with each changed request. Raises `GatewayError`."""
        metadata: dict[str, str] = {}
        for stage in self.stages:
            outcome = await stage.check(context)
            if isinstance(outcome, Transform):
                context = dataclasses.replace(context, chat=outcome.chat, is_transformed=True)
                if on_transform is not None:
                    on_transform(context)
                outcome = await stage.check(context)
                context = dataclasses.replace(context, is_transformed=False)
            if isinstance(outcome, Transform):
                raise TypeError(f"{type(stage).__name__} transforms its own result")
            metadata |= outcome.dynamic_metadata
            if isinstance(outcome, Block):
                return StagesResult(context, outcome.reply, metadata)
        return StagesResult(context, None, metadata)


def with_metadata(decision: _Decision, metadata: Mapping[str, str]) -> _Decision:
    """Returns the decision with more fields for the access log."""
    if not metadata:
        return decision
    return dataclasses.replace(decision, dynamic_metadata={**decision.dynamic_metadata, **metadata})

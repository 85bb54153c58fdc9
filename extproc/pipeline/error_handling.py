"""Builds the replies to blocked prompts and failed API calls. Used by guard_stage.py and ingress.py.

The error target answers, if one is configured. Else the gateway answers itself.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from extproc.conversation.completion import Completion
from extproc.decision import Reply
from extproc.endpoints import error_responses
from extproc.errors import GUARD_CODE, ApiError, ApiTimeout, GatewayError, PromptRejected
from extproc.pipeline import response_assembly
from extproc.pipeline.client_retries import GUARD_MODEL
from extproc.pipeline.request_context import RequestContext
from extproc.shared.filter_config import EndpointCall, Guard
from extproc.targets.api_client import ApiClient

log = logging.getLogger(__name__)

# Printable ASCII without `%`. A header must not hold line breaks, and many servers accept nothing beyond ASCII.
_SAFE_IN_HEADER: Final = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_MAX_MESSAGE_CHARS: Final = 1_000


@dataclass(frozen=True, slots=True)
class ErrorHandler:
    """`error_target` None: the gateway makes all replies itself."""

    api_client: ApiClient
    error_target: EndpointCall | None

    async def blocked(self, context: RequestContext, guard: Guard) -> Reply:
        """Returns the reply to a prompt that `guard` blocked."""
        own = await _refusal(context, guard)
        return await self._reply(context, own, guard.message) if guard.forward_to_error_target else own

    async def api_failed(self, context: RequestContext, error: ApiError | ApiTimeout) -> Reply:
        """Returns the reply to a prompt whose API call failed."""
        own = error_responses.client_error(context.endpoint, context.http, error)
        return await self._reply(context, own, error.message)

    async def _reply(self, context: RequestContext, own: Reply, message: str) -> Reply:
        """Returns the error target's answer, or `own` if there is no error target or if it fails too."""
        if self.error_target is None:
            return own
        headers = (*own.headers, ("x-arch-error-message", _header_value(message)), ("x-arch-error-time", _now()))
        try:
            answer = await self.api_client.send(self.error_target, context.http.body, context.origin, headers)
        except GatewayError as error:
            log.warning("error target failed", extra={"fields": {"reason": error.message}})
            return own
        # A 4xx may be its intended answer.
        if answer.status >= 500:
            log.warning("error target failed", extra={"fields": {"status": answer.status}})
            return own
        reply = await response_assembly.relayed(context, answer, code="error_target")
        return dataclasses.replace(reply, headers=own.headers)


async def _refusal(context: RequestContext, guard: Guard) -> Reply:
    if guard.status is not None:
        error = PromptRejected(guard.message, guard.status, guard.name)
        return error_responses.full_error(context.endpoint, error)
    completion = Completion(
        GUARD_MODEL, guard.message, finish_reason="content_filter", is_refusal=context.chat.is_structured
    )
    reply = await response_assembly.answer(context, completion, code="blocked")
    return dataclasses.replace(reply, headers=((GUARD_CODE, guard.name),))


def _header_value(message: str) -> str:
    """Returns `message` cut to a bounded length, with everything but printable ASCII percent-encoded."""
    return quote(" ".join(message.split())[:_MAX_MESSAGE_CHARS], safe=_SAFE_IN_HEADER)


def _now() -> str:
    """Returns the time in RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""What a client is told of a prompt that a guard blocked and of an API that failed: by the error target or by us."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from extproc.decision import Reply
from extproc.endpoints import error_responses
from extproc.endpoints.chat_completions import Completion
from extproc.errors import GUARD_CODE, ApiError, ApiTimeout, GatewayError, PromptRejected
from extproc.pipeline import response_assembly
from extproc.pipeline.client_retries import GUARD_MODEL
from extproc.pipeline.request_context import RequestContext
from extproc.shared.filter_config import EndpointCall, Guard
from extproc.targets.api_client import ApiClient

log = logging.getLogger(__name__)

# Characters of a message that stand for themselves in a header; a header must hold neither line breaks nor, for many a
# server, anything beyond ASCII.
_PLAIN: Final = " !\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_MAX_MESSAGE_CHARS: Final = 1_000


@dataclass(frozen=True, slots=True)
class ErrorHandler:
    """`error_target` None: the gateway tells all of it itself."""

    endpoints: ApiClient
    error_target: EndpointCall | None

    async def blocked(self, asked: RequestContext, guard: Guard) -> Reply:
        """The answer to a prompt that `guard` blocked."""
        own = await _refusal(asked, guard)
        return await self._told(asked, own, guard.message) if guard.forward_to_error_target else own

    async def api_failed(self, asked: RequestContext, fault: ApiError | ApiTimeout) -> Reply:
        """The answer to a prompt whose API call failed."""
        return await self._told(asked, error_responses.told(asked.http, fault), fault.message)

    async def _told(self, asked: RequestContext, own: Reply, message: str) -> Reply:
        """What the error target makes of a failure; where it fails itself, what we would have said without it."""
        if self.error_target is None:
            return own
        headers = (*own.headers, ("x-arch-error-message", _header_value(message)), ("x-arch-error-time", _now()))
        try:
            answer = await self.endpoints.send(self.error_target, asked.http.body, asked.origin, headers)
        except GatewayError as fault:
            log.warning("error target failed", extra={"fields": {"reason": fault.message}})
            return own
        # It may well answer with a 4xx of its own.
        if answer.status >= 500:
            log.warning("error target failed", extra={"fields": {"status": answer.status}})
            return own
        reply = await response_assembly.from_outside(asked.chat, answer, code="error_target")
        return dataclasses.replace(reply, headers=own.headers)


async def _refusal(asked: RequestContext, guard: Guard) -> Reply:
    if guard.status is not None:
        return error_responses.reply(PromptRejected(guard.message, guard.status, guard.name))
    completion = Completion(
        GUARD_MODEL, guard.message, finish_reason="content_filter", is_refusal=asked.chat.is_structured
    )
    reply = await response_assembly.answer(asked.chat, completion, code="blocked")
    return dataclasses.replace(reply, headers=((GUARD_CODE, guard.name),))


def _header_value(message: str) -> str:
    """`message` with everything but printable ASCII percent-encoded, and bounded."""
    return quote(" ".join(message.split())[:_MAX_MESSAGE_CHARS], safe=_PLAIN)


def _now() -> str:
    """RFC 3339."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

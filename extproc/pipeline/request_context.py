"""A request on its way through the pipeline, in both its forms."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.decision import HttpRequest
from extproc.endpoints.chat_completions import ChatRequest
from extproc.targets.api_client import Origin


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What was understood of a request, and how it came in."""

    chat: ChatRequest
    http: HttpRequest

    @property
    def origin(self) -> Origin:
        return Origin(self.http.request_id, self.http.traceparent)

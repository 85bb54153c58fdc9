"""A request in the pipeline: its canonical form, the original HTTP request, and the endpoint of the client's API."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.conversation.chat_request import ChatRequest
from extproc.decision import HttpRequest
from extproc.endpoints.endpoint import Endpoint
from extproc.targets.api_client import Origin


@dataclass(frozen=True, slots=True)
class RequestContext:
    """`is_transformed`: the stage that is running has changed the request, and now checks its own result."""

    chat: ChatRequest
    http: HttpRequest
    endpoint: Endpoint
    is_transformed: bool = False

    @property
    def origin(self) -> Origin:
        return Origin(self.http.request_id, self.http.traceparent)

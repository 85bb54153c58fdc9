"""The interface of a client API. Each API is one file beside this one and one row in registry.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.completion import Completion
from extproc.decision import ToolCall
from extproc.response_stages.stage import ResponseStage


class Endpoint(Protocol):
    """Converts between one client API and the canonical form. Everything else in the filter knows that form only.

    The guards read the canonical request, so `parse` must leave nothing out that a model may read.
    """

    @property
    def path(self) -> str:
        """The path of the API, which clients call with POST. It also names the endpoint in dynamic metadata."""

    def parse(self, body: bytes, *, is_large: bool) -> ChatRequest:
        """Returns the request. Raises `InvalidRequest` with the place of the error, never with the content."""

    def completion(self, completion: Completion) -> bytes:
        """Returns a whole answer, its usage included."""

    def stream(self, completion: Completion, tool_calls: Sequence[ToolCall] = (), *, include_usage: bool) -> bytes:
        """Returns an answer as a whole event stream.

        `tool_calls`: calls of the gateway that stand before it in chunks of their own, as in 0.1, if the API has a form
        for that.
        """

    def error(self, message: str, error_type: str, code: str) -> bytes:
        """Returns an error body. The type and the code are those of `GatewayError`."""

    def stream_error(self, message: str, error_type: str, code: str) -> bytes:
        """Returns the event that ends a broken stream."""

    def response_stage(self) -> ResponseStage | None:
        """Returns the stage that turns a canonical response into this API's, or None where they are the same."""

"""What the filter is asked, and what it may decide: plain values, the same for every API and every stage.

HttpRequest -> Forward | Reply
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from extproc.shared.filter_config import Schema

Headers = tuple[tuple[str, str], ...]

# A body is large from here on: parsing, screening and encoding take some milliseconds.
_LARGE_BYTES: Final = 64 << 10
_LARGE_VALUES: Final = 1_000


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as Envoy handed it over. Header names are lower-case; of a repeated header the last value counts.

    `client`: the IP address that it came from.
    """

    listener: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    traceparent: str | None = None
    client: str = ""
    # How many JSON values the body holds, as json_size.py counts them.
    json_values: int = 0

    @property
    def is_large(self) -> bool:
        """Whether reading the body takes more than a few milliseconds."""
        return len(self.body) > _LARGE_BYTES or self.json_values > _LARGE_VALUES


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the gateway made for the client, and the API's answer. `arguments` is a JSON object as text."""

    call_id: str
    name: str
    arguments: str
    answer: str


class ResponseEdit(msgspec.Struct, frozen=True, kw_only=True):
    """How a response is changed on its way back: from which wire format, and with which calls in front of it.

    A value that travels through Envoy, so that any worker can do the edit and none must live from request to response.
    `tool_chunks`: a stream has the calls as chunks of their own, as in 0.1.
    """

    schema: Schema = Schema.OPENAI
    calls: tuple[ToolCall, ...] = ()
    tool_chunks: bool = False


@dataclass(frozen=True, slots=True)
class Forward:
    """Let Envoy send `body` to `cluster`. `edit` None: the response passes untouched, and Python never sees it.

    `path` None: the route's own rewriting applies. `notes` are fields of the access log.
    """

    cluster: str
    body: bytes
    path: str | None = None
    edit: ResponseEdit | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the client at once; nothing leaves the gateway. `code` is what the access log shows."""

    status: int
    body: bytes
    code: str
    content_type: str = "application/json"
    headers: Headers = ()
    notes: Mapping[str, str] = field(default_factory=dict)


Decision = Forward | Reply

"""What the filter is asked, and what it may decide: plain values, the same for every API and every stage.

HttpRequest -> Forward | Reply
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as Envoy handed it over. Header names are lower-case; of a repeated header the last value counts."""

    listener: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """The status and headers of an upstream's response."""

    status: int
    headers: Mapping[str, str]

    def is_event_stream(self) -> bool:
        return self.headers.get("content-type", "").lower().startswith("text/event-stream")

    def is_encoded(self) -> bool:
        return self.headers.get("content-encoding", "identity").lower() != "identity"


class StreamEdit(Protocol):
    """Changes a response as it passes. Chunk borders are arbitrary."""

    def feed(self, chunk: bytes) -> bytes: ...

    def flush(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A complete response body with its status."""

    status: int
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class ResponseEdit:
    """How a response is changed on its way back: `whole` for JSON, `stream` (made anew) for an event stream."""

    whole: Callable[[Whole], Whole]
    stream: Callable[[], StreamEdit]


@dataclass(frozen=True, slots=True)
class Forward:
    """Let Envoy send `body` to `cluster`. `edits` change the response, in order; without any, it passes untouched.

    `path` None: the route's own rewriting applies.
    """

    cluster: str
    body: bytes
    path: str | None = None
    remove_headers: tuple[str, ...] = ()
    edits: tuple[ResponseEdit, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the client at once; nothing leaves the gateway.

    `code` is what the access log shows. `notes` are fields of the access log.
    """

    status: int
    body: bytes
    code: str
    content_type: str = "application/json"
    headers: Headers = ()
    notes: Mapping[str, str] = field(default_factory=dict)


Decision = Forward | Reply

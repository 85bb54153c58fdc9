"""A request as the filter receives it, and the possible decisions on it. Values only, the same for every client API.

HttpRequest -> Forward | Reply
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import msgspec

from extproc.shared.filter_config import Schema

Headers = tuple[tuple[str, str], ...]

# Fields that the access log reads.
DynamicMetadata = Mapping[str, str]

# Parsing, text extraction and encoding of a body over one of these limits take some milliseconds.
_LARGE_BYTES: Final = 64 << 10
_LARGE_VALUES: Final = 1_000


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request as Envoy handed it over. Header names are lower-case; of a repeated header the last value counts.

    `client`: the client's IP address. `json_values`: the number of JSON values in the body, as json_size.py counts.
    """

    listener: str
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    request_id: str
    traceparent: str | None = None
    client: str = ""
    json_values: int = 0

    @property
    def is_large(self) -> bool:
        """Reading the body takes more than a few milliseconds."""
        return len(self.body) > _LARGE_BYTES or self.json_values > _LARGE_VALUES


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that the gateway made for the client, and the API's answer. `arguments` is a JSON object as text."""

    call_id: str
    name: str
    arguments: str
    answer: str


class RequestSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a request that its response half needs: the path, which names the client's API, and the origin."""

    path: str = ""
    listener: str = ""
    request_id: str = ""
    client: str = ""


class ResponseEdit(msgspec.Struct, frozen=True, kw_only=True):
    """The edit of a response: the provider schema to translate from, and the tool calls to add.

    Envoy carries it as dynamic metadata: any worker can do the edit, even if the worker of the request has died.
    `tool_chunks`: a stream has the calls in separate chunks, as in v0.1.
    """

    schema: Schema = Schema.OPENAI
    calls: tuple[ToolCall, ...] = ()
    tool_chunks: bool = False
    request: RequestSummary = RequestSummary()


@dataclass(frozen=True, slots=True)
class Forward:
    """Envoy sends `body` to `cluster`. `edit` None: the response passes untouched, and the filter never sees it.

    `path` None: the path of the request stays, with its query. Either way the provider's route rewrites it.
    """

    cluster: str
    body: bytes
    path: str | None = None
    edit: ResponseEdit | None = None
    dynamic_metadata: DynamicMetadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reply:
    """Envoy answers the client at once; nothing leaves the gateway. `code` is what the access log shows."""

    status: int
    body: bytes
    code: str
    content_type: str = "application/json"
    headers: Headers = ()
    dynamic_metadata: DynamicMetadata = field(default_factory=dict)


Decision = Forward | Reply

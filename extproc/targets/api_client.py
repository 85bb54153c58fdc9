"""Calls the endpoints of prompt targets, through Envoy's internal listener, which balances, retries and measures."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from extproc import request_stats
from extproc.codecs.json_values import encode_json
from extproc.conversation.messages import Message
from extproc.decision import Headers
from extproc.errors import ApiError, ApiTimeout, BadApiAnswer, UpstreamTimeout
from extproc.request_stats import ApiCall
from extproc.shared.filter_config import EndpointCall, HttpMethod, JsonValue
from extproc.targets import path_values
from extproc.targets.path_values import PLACEHOLDER

# An answer goes into a prompt. A larger one is of no use to any model, and must not fill the worker's memory.
MAX_ANSWER_BYTES: Final = 1 << 20

# The internal listener sets it on its own replies, so that they differ from an endpoint's.
_LOCAL_REPLY: Final = "x-archgw-local-reply"

_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Origin:
    """The request on whose behalf an endpoint is called."""

    request_id: str
    traceparent: str | None


@dataclass(frozen=True, slots=True)
class ApiAnswer:
    """The answer of an endpoint. `content_type` is empty if it names none."""

    status: int
    content_type: str
    body: bytes

    @property
    def is_stream(self) -> bool:
        return self.content_type.lower().startswith("text/event-stream")


class ApiClient:
    """A connection pool to Envoy's internal listener. One for each gateway."""

    def __init__(self, socket: str, timeout_ms: int) -> None:
        self._session = aiohttp.ClientSession(
            # No limit here: Envoy has circuit breakers, and a queue here would only hide them.
            connector=aiohttp.UnixConnector(path=socket, limit=0),
            timeout=aiohttp.ClientTimeout(total=timeout_ms / 1000),
            auto_decompress=False,
            # All endpoints are one host to this pool: a cookie of one user's call must not be in any other call.
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"user-agent": "archgw", "accept": "application/json", "accept-encoding": "identity"},
        )

    async def close(self) -> None:
        await self._session.close()

    async def call(
        self,
        call: EndpointCall,
        arguments: Mapping[str, JsonValue],
        messages: Sequence[Message],
        origin: Origin,
        headers: Headers = (),
    ) -> ApiAnswer:
        """Calls the endpoint with `arguments` and returns its 2xx answer.

        Raises `ApiError` with the endpoint's status, `BadApiAnswer` if its answer cannot be used, `ApiTimeout`.
        """
        path, body = _request(call, arguments, messages)
        return await self._exchange(call, path, body, _headers(call, origin, headers), only_2xx=True)

    async def send(self, call: EndpointCall, body: bytes, origin: Origin, headers: Headers) -> ApiAnswer:
        """Sends a ready body and returns the endpoint's answer, errors included. Raises as `call` does."""
        return await self._exchange(call, call.path, body, _headers(call, origin, headers), only_2xx=False)

    async def _exchange(
        self, call: EndpointCall, path: str, body: bytes | None, headers: Mapping[str, str], *, only_2xx: bool
    ) -> ApiAnswer:
        began = time.perf_counter()
        try:
            return await self._answer(call, path, body, headers, only_2xx=only_2xx)
        finally:
            if (stats := request_stats.current()) is not None:
                stats.apis.append(ApiCall(began, time.perf_counter()))

    async def _answer(
        self, call: EndpointCall, path: str, body: bytes | None, headers: Mapping[str, str], *, only_2xx: bool
    ) -> ApiAnswer:
        try:
            async with self._session.request(
                call.method,
                URL(f"http://internal{path}", encoded=True),
                data=body,
                headers=headers if body is None else {**headers, "content-type": "application/json"},
                allow_redirects=False,
            ) as response:
                local_reply = response.headers.get(_LOCAL_REPLY)
                if local_reply == UpstreamTimeout.code:
                    raise ApiTimeout(f"{endpoint_label(call)} gave no answer in time.")
                if local_reply == BadApiAnswer.code:
                    raise BadApiAnswer(f"{endpoint_label(call)} sent a malformed answer, or broke it off.")
                if local_reply:
                    raise ApiError(f"{endpoint_label(call)} cannot be reached.", response.status)
                if response.status < 200 or 300 <= response.status < 400 or response.status >= 600:
                    # Redirects are not followed: they may lead to any server, and turn POST into GET.
                    raise BadApiAnswer(
                        f"{endpoint_label(call)} answered with status {response.status}, which is no answer."
                    )
                if only_2xx and not 200 <= response.status < 300:
                    raise ApiError(f"{endpoint_label(call)} answered with status {response.status}.", response.status)
                # It may go to a client in a header, so it must be ASCII.
                content_type = response.headers.get("content-type", "").encode("ascii", "ignore").decode()
                return ApiAnswer(response.status, content_type, await _bounded(response, call))
        except TimeoutError as error:
            raise ApiTimeout(f"{endpoint_label(call)} gave no answer in time.") from error
        except aiohttp.ClientError as error:
            raise BadApiAnswer(f"{endpoint_label(call)} broke off its answer.") from error


def endpoint_label(call: EndpointCall) -> str:
    """Returns the name of an endpoint in error messages."""
    return f"Endpoint `{call.endpoint}` ({call.method} {call.path})"


def _headers(call: EndpointCall, origin: Origin, extra: Headers) -> dict[str, str]:
    headers = {**dict(extra), "x-arch-upstream": call.upstream, "x-request-id": origin.request_id}
    if origin.traceparent:
        headers["traceparent"] = origin.traceparent
    if name := next((name for name, value in headers.items() if _CONTROL.search(value)), None):
        raise ApiError(f"{endpoint_label(call)} is not called: the header {name} would hold a control character.", 400)
    return headers


def _request(
    call: EndpointCall, arguments: Mapping[str, JsonValue], messages: Sequence[Message]
) -> tuple[str, bytes | None]:
    """Returns path and body. Arguments fill `{name}` in the path; GET sends the rest as query, POST as JSON."""
    in_path = set(PLACEHOLDER.findall(call.path)) & set(arguments)

    def fill(match: re.Match[str]) -> str:
        return quote(_text(arguments[match[1]]) if match[1] in in_path else match[0], safe="")

    path = PLACEHOLDER.sub(fill, call.path)
    # argument_validation.py has refused such values before. But a placeholder may be a part of a segment: `.{name}`.
    values = (_text(arguments[name]) for name in path_values.placeholders(call.path) & in_path)
    segments = path.partition("?")[0].split("/")
    if any(segment in {".", ".."} for segment in segments) or any(map(path_values.unsafe_reason, values)):
        raise ApiError(f"{endpoint_label(call)} is not called: a value in its path would change the path.", 400)
    rest = {name: value for name, value in arguments.items() if name not in in_path}
    if call.method is HttpMethod.POST:
        return path, encode_json({**rest, "messages": messages})
    query = urlencode([(name, text) for name, value in rest.items() for text in _query_texts(value)])
    return (f"{path}{'&' if '?' in path else '?'}{query}" if query else path), None


def _query_texts(value: JsonValue) -> list[str]:
    """Returns the texts of one query parameter: a list repeats its name, once for each element, as forms do."""
    return [_text(element) for element in value] if isinstance(value, list) else [_text(value)]


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else encode_json(value).decode()


async def _bounded(response: aiohttp.ClientResponse, call: EndpointCall) -> bytes:
    if response.headers.get("content-encoding", "identity").lower() != "identity":
        raise BadApiAnswer(f"{endpoint_label(call)} answered with a content encoding that was not asked for.")
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise BadApiAnswer(f"{endpoint_label(call)} answered with more than {MAX_ANSWER_BYTES} bytes.")
    return bytes(body)

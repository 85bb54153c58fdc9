"""Builds every ProcessingResponse that the filter sends to Envoy. No other module builds one.

https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/service/ext_proc/v3/external_processor.proto
"""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    BodyResponse,
    CommonResponse,
    HeaderMutation,
    HeadersResponse,
    ImmediateResponse,
    ProcessingResponse,
    TrailersResponse,
)
from envoy.type.v3.http_status_pb2 import HttpStatus

from extproc.codecs.json_values import encode_json
from extproc.decision import DynamicMetadata, Forward, Headers, Reply

# Prefix of the response code details of the filter's own replies, which Envoy's local-reply mapper does not change.
_DETAILS: Final = "archgw_"

_OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD

# Namespace of the dynamic metadata that the access log reads.
_METADATA: Final = "archgw"

# Namespace of the dynamic metadata that carries a `ResponseEdit` from the request to its response. Envoy's routes turn
# the response half on if it is set.
EDIT: Final = "archgw.edit"

# Seconds that SDKs and load balancers wait before they try again.
_RETRY_AFTER: Final = ("retry-after", "1")

# Dynamic metadata that clients read as headers. For an answer from upstream, Envoy's routes add them.
_CLIENT_HEADERS: Final = {"degraded": "x-arch-degraded", "timing": "x-arch-timing"}

_NO_METADATA: Final[DynamicMetadata] = MappingProxyType({})


def immediate(reply: Reply, metadata: DynamicMetadata = _NO_METADATA) -> ProcessingResponse:
    """Answers the client; the request goes no further."""
    from_metadata = ((header, metadata[name]) for name, header in _CLIENT_HEADERS.items() if name in metadata)
    retry_after = (_RETRY_AFTER,) if reply.status == HTTPStatus.SERVICE_UNAVAILABLE else ()
    headers = (*reply.headers, *retry_after, *from_metadata)
    response = ProcessingResponse(
        immediate_response=ImmediateResponse(
            status=HttpStatus(code=reply.status),
            headers=_mutation((("content-type", reply.content_type), *headers)),
            body=reply.body,
            details=_DETAILS + reply.code,
        )
    )
    return _with_metadata(response, {"decision": reply.code, **reply.dynamic_metadata, **metadata})


def request_headers(forward: Forward, metadata: DynamicMetadata = _NO_METADATA) -> ProcessingResponse:
    """Sends the request to its cluster. Envoy chooses the route anew only if headers change, as they do here."""
    # `accept-encoding`: a compressed answer cannot be edited. `content-encoding` and `content-type`: the body is the
    # filter's own JSON in UTF-8, and no client header may make a provider read it in another way than the guards did.
    remove = ("content-encoding", *(("accept-encoding",) if forward.edit else ()))
    headers = [
        ("x-arch-upstream", forward.cluster),
        ("content-type", "application/json"),
        ("content-length", str(len(forward.body))),
    ]
    if forward.path is not None:
        headers.append((":path", forward.path))
    response = ProcessingResponse(
        request_headers=HeadersResponse(
            response=CommonResponse(header_mutation=_mutation(headers, remove=remove), clear_route_cache=True)
        )
    )
    if forward.edit:
        response.dynamic_metadata.update({EDIT: {"edit": encode_json(forward.edit).decode()}})
    return _with_metadata(response, {"decision": "forward", **forward.dynamic_metadata, **metadata})


def request_body(body: bytes, *, end: bool) -> ProcessingResponse:
    response = ProcessingResponse()
    _fill(response.request_body, body, end=end)
    return response


def request_trailers() -> ProcessingResponse:
    return ProcessingResponse(request_trailers=TrailersResponse())


def response_headers(headers: Headers = (), remove: Iterable[str] = ()) -> ProcessingResponse:
    return ProcessingResponse(
        response_headers=HeadersResponse(response=CommonResponse(header_mutation=_mutation(headers, remove=remove)))
    )


def response_body(body: bytes, *, end: bool) -> ProcessingResponse:
    response = ProcessingResponse()
    _fill(response.response_body, body, end=end)
    return response


def response_trailers() -> ProcessingResponse:
    return ProcessingResponse(response_trailers=TrailersResponse())


def _fill(response: BodyResponse, body: bytes, *, end: bool) -> None:
    # In place: a message that is passed to the constructor of another is copied, with its body.
    streamed = response.response.body_mutation.streamed_response
    streamed.body = body
    streamed.end_of_stream = end


def _mutation(headers: Iterable[tuple[str, str]], remove: Iterable[str] = ()) -> HeaderMutation:
    return HeaderMutation(
        set_headers=[
            HeaderValueOption(header=HeaderValue(key=name, raw_value=value.encode()), append_action=_OVERWRITE)
            for name, value in headers
        ],
        remove_headers=remove,
    )


def _with_metadata(response: ProcessingResponse, metadata: DynamicMetadata) -> ProcessingResponse:
    fields = response.dynamic_metadata.fields[_METADATA].struct_value.fields
    for name, value in metadata.items():
        fields[name].string_value = value
    return response

"""The only place that builds a ProcessingResponse: what Envoy is told, in Envoy's words.

https://www.envoyproxy.io/docs/envoy/v1.40.0/api-v3/service/ext_proc/v3/external_processor.proto
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

from extproc.decision import Forward, Headers, Reply
from extproc.endpoints.chat_completions import encode_json

# Response code details that start so are ours: Envoy's local-reply mapper leaves such replies as they are.
_DETAILS: Final = "archgw_"

_OVERWRITE: Final = HeaderValueOption.HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD

# Namespace of the dynamic metadata that the access log reads.
_NOTES: Final = "archgw"

# Namespace of the dynamic metadata that carries a `ResponseEdit` from the request to its response. Envoy's route turns
# the response half on where it is set.
EDIT: Final = "archgw.edit"

# What SDKs and balancers wait before they try again, in seconds.
_RETRY_AFTER: Final = ("retry-after", "1")

# Notes that clients read as headers. Of an answer from upstream Envoy tells them, by the routes.
_TOLD: Final = {"degraded": "x-arch-degraded", "timing": "x-arch-timing"}

Notes = Mapping[str, str]


def immediate(reply: Reply, notes: Notes = MappingProxyType({})) -> ProcessingResponse:
    """Answer the client; the request goes no further."""
    told = ((header, notes[name]) for name, header in _TOLD.items() if name in notes)
    headers = (*reply.headers, *((_RETRY_AFTER,) if reply.status == HTTPStatus.SERVICE_UNAVAILABLE else ()), *told)
    response = ProcessingResponse(
        immediate_response=ImmediateResponse(
            status=HttpStatus(code=reply.status),
            headers=_mutation((("content-type", reply.content_type), *headers)),
            body=reply.body,
            details=_DETAILS + reply.code,
        )
    )
    return _note(response, {"decision": reply.code, **reply.notes, **notes})


def request_headers(forward: Forward, notes: Notes = MappingProxyType({})) -> ProcessingResponse:
    """Where the request goes. Envoy chooses the route anew only when an answer changes headers, which this one does."""
    # A compressed answer could not be edited, so none is asked for. The body is ours: JSON in UTF-8 and as it is, and
    # no header of the client's makes anybody read it as anything else than the guards did.
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
    return _note(response, {"decision": "forward", **forward.notes, **notes})


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
    # In place: each message that is given to the constructor of another is copied, the body with it.
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


def _note(response: ProcessingResponse, notes: Mapping[str, str]) -> ProcessingResponse:
    fields = response.dynamic_metadata.fields[_NOTES].struct_value.fields
    for name, value in notes.items():
        fields[name].string_value = value
    return response

"""A configuration is swapped while streams run: each stream keeps the gateway that it started with."""

from __future__ import annotations

import asyncio

import pytest
from envoy.config.core.v3.base_pb2 import HeaderMap, HeaderValue
from envoy.service.ext_proc.v3.external_processor_pb2 import (
    HttpBody,
    HttpHeaders,
    ProcessingRequest,
    ProcessingResponse,
)
from msgspec.structs import replace

from extproc.current_gateway import CurrentGateway
from extproc.gateway import Gateway, open_gateway
from extproc.server import Processor
from tests.unit.extproc.test_gateway import EGRESS_ONLY, OPENAI

NEW = replace(EGRESS_ONLY, providers=(replace(OPENAI, cluster="provider_new"),), max_request_bytes=10)
OLD = EGRESS_ONLY

FIELDS = {":method": "POST", ":path": "/v1/chat/completions"}
HEAD = ProcessingRequest(
    request_headers=HttpHeaders(
        headers=HeaderMap(headers=[HeaderValue(key=name, raw_value=text.encode()) for name, text in FIELDS.items()])
    )
)
BODY = ProcessingRequest(
    request_body=HttpBody(body=b'{"messages":[{"role":"user","content":"hi"}]}', end_of_stream=True)
)


class FakeStream:
    """A request whose body arrives when `body_arrives` is set."""

    def __init__(self) -> None:
        self.metadata = {"x-archgw-listener": "egress"}
        self.head_was_read = asyncio.Event()
        self.body_arrives = asyncio.Event()
        self.sent: list[ProcessingResponse] = []

    async def read(self, *expected: str) -> ProcessingRequest:
        if "request_headers" in expected:
            return HEAD
        self.head_was_read.set()
        await self.body_arrives.wait()
        return BODY

    async def send(self, response: ProcessingResponse) -> None:
        self.sent.append(response)

    async def abort(self, code: object, reason: str) -> None:
        pytest.fail(f"aborted with {code}: {reason}")


async def start(current: CurrentGateway[Gateway]) -> tuple[FakeStream, asyncio.Task[None]]:
    stream = FakeStream()
    task = asyncio.create_task(Processor(current).process(stream))
    await stream.head_was_read.wait()
    return stream, task


async def test_a_running_stream_ends_on_the_old_gateway_and_new_ones_start_on_the_new_one() -> None:
    async with open_gateway(OLD) as old, open_gateway(NEW) as new:
        current = CurrentGateway(old)
        running, running_task = await start(current)
        swap = asyncio.create_task(current.swap(new))
        await asyncio.sleep(0)
        assert current.gateway is new
        later, later_task = await start(current)
        later.body_arrives.set()
        await later_task
        assert not swap.done(), "the old gateway still has a stream"
        running.body_arrives.set()
        await running_task
        await swap
    assert later.sent[0].immediate_response.status.code == 413, "the new gateway accepts ten bytes"
    headers = running.sent[0].request_headers.response.header_mutation.set_headers
    assert {o.header.key: o.header.raw_value for o in headers}["x-arch-upstream"] == b"provider_openai"


async def test_a_swap_does_not_wait_for_a_gateway_without_streams() -> None:
    async with open_gateway(OLD) as old, open_gateway(NEW) as new:
        current = CurrentGateway(old)
        stream, task = await start(current)
        stream.body_arrives.set()
        await task
        async with asyncio.timeout(1):
            await current.swap(new)
        assert current.gateway is new

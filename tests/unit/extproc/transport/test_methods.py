"""The unary methods of a worker's socket: Envoy's health check and `archgw`'s status."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from extproc.current_gateway import CurrentGateway
from extproc.server import open_server
from extproc.shared import status_client
from extproc.shared.filter_config import Transport
from extproc.shared.worker_status import METHOD
from extproc.transport.health import CHECK, NAME, Health
from extproc.transport.service import MethodError
from tests.unit.extproc.test_streams import FakeGateway, forward

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def refuse(request: bytes) -> bytes:
    raise MethodError(grpc.StatusCode.UNAVAILABLE, f"no: 100 % {request.decode()} \u00e9\n")


async def echo(request: bytes) -> bytes:
    return request


async def fail(_request: bytes) -> bytes:
    raise ValueError("secret")


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture(params=Transport)
async def socket(request: pytest.FixtureRequest, tmp_path: Path, health: Health) -> AsyncIterator[Path]:
    methods = {CHECK: health.check, "/a.B/Refuse": refuse, "/a.B/Echo": echo, "/a.B/Fail": fail}
    server = open_server(request.param, CurrentGateway(FakeGateway(lambda _: forward())), methods)
    await server.start(tmp_path / "s")
    yield tmp_path / "s"
    await server.stop(0)


async def test_health_check_returns_the_state_of_the_worker(socket: Path, health: Health) -> None:
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        for serving, status in ((False, NOT_SERVING), (True, SERVING)):
            health.serving = serving
            assert (await stub.Check(health_pb2.HealthCheckRequest(service=NAME))).status == status
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await stub.Check(health_pb2.HealthCheckRequest(service="other"))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
async def test_method_takes_and_returns_messages_of_any_size(socket: Path, size: int) -> None:
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        call: Any = channel.unary_unary("/a.B/Echo")
        assert await call(b"x" * size) == b"x" * size


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("Refuse", grpc.StatusCode.UNAVAILABLE, "no: 100 % why \u00e9\n"),
        ("Gone", grpc.StatusCode.UNIMPLEMENTED, ""),
        ("Fail", None, ""),
    ],
)
async def test_method_error_has_code_and_message(
    socket: Path, name: str, code: grpc.StatusCode | None, words: str
) -> None:
    async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
        call: Any = channel.unary_unary(f"/a.B/{name}")
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await call(b"why")
    assert code is None or error.value.code() is code
    assert words in (error.value.details() or "")


async def test_status_client_reads_the_socket_of_a_worker(tmp_path: Path) -> None:
    for transport in Transport:
        server = open_server(transport, CurrentGateway(FakeGateway(lambda _: forward())), {METHOD: echo})
        socket = tmp_path / transport
        await server.start(socket)
        answers = await asyncio.to_thread(status_client.read_statuses, [str(socket), str(tmp_path / "nobody")])
        assert answers == (b"", None)
        await server.stop(0)

"""KServe v2 over gRPC, against a server on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from extproc.inference.call_failures import CallFailed, FailureReason
from extproc.inference.kserve import InferRequest, ModelStatistics, TensorMetadata
from extproc.inference.kserve_grpc import KServeGrpcClient
from extproc.shared.filter_config import Server
from extproc.shared.roles import COMPUTE_NS
from tests.unit.extproc.inference.servers import FakeTriton, failing, never, serving

REQUEST = InferRequest("my-guard", {"TEXT": [b"x"]}, "PROB")


@pytest.fixture
async def fake() -> AsyncIterator[FakeTriton]:
    async with serving(FakeTriton()) as fake:
        yield fake


@pytest.fixture
async def client(fake: FakeTriton) -> AsyncIterator[KServeGrpcClient]:
    client = KServeGrpcClient(Server(address=fake.address))
    yield client
    await client.close()


@pytest.mark.parametrize(
    ("code", "details", "reason"),
    [
        (grpc.StatusCode.INTERNAL, "Stub process 'guard_0_0' is not healthy.", "dead"),
        (grpc.StatusCode.UNAVAILABLE, "gone", "unreachable"),
        (grpc.StatusCode.UNAVAILABLE, "Exceeds maximum queue size", "overloaded"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "too many", "overloaded"),
        (grpc.StatusCode.UNAUTHENTICATED, "no key", "refused"),
        (grpc.StatusCode.NOT_FOUND, "no such model", "unloaded"),
        (grpc.StatusCode.INVALID_ARGUMENT, "no such tensor", "refused"),
    ],
)
async def test_failure_reason_follows_from_the_status(
    fake: FakeTriton, client: KServeGrpcClient, code: grpc.StatusCode, details: str, reason: str
) -> None:
    fake.infer = failing(code, details)
    with pytest.raises(CallFailed) as caught:
        await client.infer(REQUEST, 1.0)
    assert caught.value.failure.reason == reason
    # The one thing that the file can be wrong about. What the server says of it may hold the key.
    is_key = code is grpc.StatusCode.UNAUTHENTICATED
    assert ("model_serving.remote.access_key" in caught.value.failure.detail) is is_key
    assert (details in caught.value.failure.detail) is not is_key
    assert caught.value.caused_by_request is (code is grpc.StatusCode.INVALID_ARGUMENT)


async def test_call_without_response_ends_at_its_timeout(fake: FakeTriton, client: KServeGrpcClient) -> None:
    fake.infer = never
    with pytest.raises(CallFailed) as caught:
        await client.infer(REQUEST, 0.1)
    assert caught.value.failure.reason is FailureReason.TIMEOUT


async def test_reads_the_named_output_and_the_compute_time(fake: FakeTriton, client: KServeGrpcClient) -> None:
    fake.compute_ns = (1_000_000, 2_500_000)

    async def reversed_(request: Any, _: Any) -> Any:
        answer = fake.answer(request, [b"\0\0\0\0"])
        names, raws = [output.name for output in answer.outputs], list(answer.raw_output_contents)
        for index, (name, raw) in enumerate(zip(reversed(names), reversed(raws), strict=True)):
            answer.outputs[index].name, answer.raw_output_contents[index] = name, raw
        return answer

    fake.infer = reversed_
    answer = await client.infer(InferRequest("my-guard", {"TEXT": [b"x", b"y"]}, "PROB", with_compute_time=True), 1.0)
    assert (answer.raw, answer.compute_ms) == (b"\0\0\0\0", 2.5)
    fake.compute_ns = (-1,)
    assert (
        await client.infer(InferRequest("my-guard", {"TEXT": [b"x"]}, "PROB", with_compute_time=True), 1.0)
    ).compute_ms == 0
    assert [output.name for output in fake.requests[0].outputs] == ["PROB", COMPUTE_NS]


async def test_every_call_carries_the_upstream_header(tmp_path: Path) -> None:
    fake = FakeTriton(statistics=[])
    async with serving(fake, f"unix:{tmp_path}/s"):
        client = KServeGrpcClient(Server(address=fake.address, upstream="triton_remote"))
        await client.infer(REQUEST, 1.0)
        await client.server_live(1.0)
        await client.model_metadata("my-guard", 1.0)
        await client.model_statistics("my-guard", 1.0)
        await client.close()
    # An inference; liveness; readiness, metadata and configuration; statistics.
    assert fake.upstreams == ["triton_remote"] * 6


async def test_connects_to_a_unix_socket_with_special_characters_in_its_path(tmp_path: Path) -> None:
    folder = tmp_path / "my runs 50%41 #?é"
    folder.mkdir()
    async with serving(FakeTriton(), f"unix:{tmp_path}/s") as fake:
        (folder / "s:8001").hardlink_to(tmp_path / "s")
        client = KServeGrpcClient(Server(address=f"unix:{folder}/s:8001"))
        await client.infer(REQUEST, 1.0)
        await client.close()
        assert fake.requests


async def test_metadata_has_tensors_and_batch_size(fake: FakeTriton, client: KServeGrpcClient) -> None:
    found = await client.model_metadata("my-guard", 1.0)
    assert found.inputs == (TensorMetadata("TEXT", "BYTES", (-1, 1)),)
    assert found.outputs == (TensorMetadata("PROB", "FP32", (-1, 1)),)
    assert found.max_batch_size == 8
    fake.max_batch_size = None
    assert (await client.model_metadata("my-guard", 1.0)).max_batch_size == 0


async def test_unparsable_response_is_malformed_for_every_method() -> None:
    """The watch must outlive it, and only `CallFailed` is what it lives with."""

    class Nonsense(grpc.GenericRpcHandler):
        def service(self, _: Any) -> Any:
            async def answer(_: bytes, __: Any) -> bytes:
                return b"\xff no message"

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Nonsense(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    client = KServeGrpcClient(Server(address=f"127.0.0.1:{port}"))
    for call in (
        client.infer(REQUEST, 1.0),
        client.server_live(1.0),
        client.model_metadata("my-guard", 1.0),
        client.model_statistics("my-guard", 1.0),
    ):
        with pytest.raises(CallFailed, match="malformed"):
            await call
    await client.close()
    await server.stop(None)


async def test_error_names_a_model_that_is_not_loaded(fake: FakeTriton, client: KServeGrpcClient) -> None:
    fake.ready = False
    with pytest.raises(CallFailed, match="no model called my-guard"):
        await client.model_metadata("my-guard", 1.0)


async def test_statistics_are_means_over_all_versions_or_none(fake: FakeTriton, client: KServeGrpcClient) -> None:
    assert await client.model_statistics("my-guard", 1.0) is None
    fake.statistics = []
    assert await client.model_statistics("my-guard", 1.0) is None
    fake.statistics = [_version(1, 2), _version(3, 10)]
    assert await client.model_statistics("my-guard", 1.0) == ModelStatistics(queue_ms=3.0, compute_ms=24.0)


def _version(count: int, milliseconds: int) -> dict[str, Any]:
    spent = {"count": count, "ns": milliseconds * 1_000_000}
    compute = {f"compute_{part}": {"count": count, "ns": 8 * milliseconds * 1_000_000} for part in ("infer",)}
    return {"inference_stats": {"success": {"count": count}, "queue": spent, **compute}}

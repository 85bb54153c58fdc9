"""Fallback among the backends of a role, against real gRPC servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from extproc import request_stats
from extproc.client_context import request_from
from extproc.inference import deadline
from extproc.inference.call_failures import FailureReason
from extproc.inference.circuit_breaker import TIMEOUTS_TOLERATED
from extproc.inference.interface import RoleUnavailable
from extproc.inference.kserve import ModelMetadata, TensorMetadata
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role
from extproc.shared.worker_status import RoleStatus
from tests.unit.extproc.inference.servers import (
    TIMEOUT_MS,
    FakeTriton,
    UnwatchedModels,
    failing,
    floats,
    inference,
    never,
    serving,
    unwatched,
)


@pytest.fixture
async def remote() -> AsyncIterator[FakeTriton]:
    async with serving(FakeTriton()) as fake:
        yield fake


@pytest.fixture
async def local() -> AsyncIterator[FakeTriton]:
    async with serving(FakeTriton(raw=[floats(0.75)])) as fake:
        yield fake


@pytest.fixture
async def both(remote: FakeTriton, local: FakeTriton) -> AsyncIterator[UnwatchedModels]:
    """The remote place first, which answers 0.25; the local one answers 0.75."""
    config = inference({Place.REMOTE: remote.address, Place.LOCAL: local.address}, Role.GUARD)
    async with unwatched(config) as models_:
        yield models_


@pytest.fixture
async def alone(local: FakeTriton) -> AsyncIterator[UnwatchedModels]:
    async with unwatched(inference({Place.LOCAL: local.address}, Role.GUARD)) as models_:
        yield models_


async def ask(unwatched_models: UnwatchedModels) -> float:
    (probability,) = await unwatched_models.models.attack_probabilities(Role.GUARD, ["x"])
    return probability


async def status(unwatched_models: UnwatchedModels) -> RoleStatus:
    return (await unwatched_models.models.status()).roles[Role.GUARD]


async def test_preferred_backend_answers_while_available(both: UnwatchedModels, local: FakeTriton) -> None:
    assert await ask(both) == 0.25
    assert local.requests == []


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, "unreachable"),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "overloaded"),
        (grpc.StatusCode.UNAUTHENTICATED, "refused"),
    ],
)
async def test_falls_back_after_a_failure_and_skips_the_backend_afterwards(
    both: UnwatchedModels, remote: FakeTriton, code: grpc.StatusCode, reason: str
) -> None:
    remote.infer = failing(code, "no")
    with request_stats.collect():
        assert [await ask(both) for _ in range(3)] == [0.75] * 3
    assert len(remote.requests) == 1
    assert (await status(both)).skipped == {f"remote:{reason}": 3}
    assert (await status(both)).failed == {}


async def test_late_backend_delays_only_the_first_request(both: UnwatchedModels, remote: FakeTriton) -> None:
    remote.infer = never
    began = time.perf_counter()
    assert await ask(both) == 0.75
    assert time.perf_counter() - began >= TIMEOUT_MS / 1000
    began = time.perf_counter()
    assert await ask(both) == 0.75
    assert time.perf_counter() - began < TIMEOUT_MS / 1000 / 2
    assert len(remote.requests) == 1


async def test_malformed_answer_falls_back(both: UnwatchedModels, remote: FakeTriton) -> None:
    remote.raw = [floats(1.5)]
    with request_stats.collect() as stats:
        assert await ask(both) == 0.75
    assert [(call.place, call.reason) for call in stats.models] == [("remote", "malformed"), ("local", "")]


async def test_refused_request_falls_back_and_keeps_the_breaker_closed(
    both: UnwatchedModels, remote: FakeTriton
) -> None:
    remote.infer = failing(grpc.StatusCode.INVALID_ARGUMENT, "too long")
    assert await ask(both) == 0.75
    remote.infer = None
    assert await ask(both) == 0.25


async def test_reports_and_counts_the_last_reason_without_backends_left(
    both: UnwatchedModels, remote: FakeTriton, local: FakeTriton
) -> None:
    remote.infer = failing(grpc.StatusCode.RESOURCE_EXHAUSTED)
    local.infer = failing(grpc.StatusCode.UNAVAILABLE)
    with request_stats.collect():
        for _ in range(2):
            with pytest.raises(RoleUnavailable) as caught:
                await ask(both)
            assert caught.value.reason == "unreachable"
    assert (len(remote.requests), len(local.requests)) == (1, 1)
    found = await status(both)
    assert (found.skipped, found.failed) == ({"remote:overloaded": 2}, {"unreachable": 2})
    assert [each.reason for each in found.backends] == ["overloaded", "unreachable"]
    assert both.models.unavailable == {Role.GUARD: "unreachable"}


async def test_role_is_available_while_one_backend_is(both: UnwatchedModels, remote: FakeTriton) -> None:
    remote.infer = failing(grpc.StatusCode.UNAVAILABLE)
    await ask(both)
    assert both.models.unavailable == {}
    assert [each.ready for each in (await status(both)).backends] == [False, True]


async def test_last_backend_may_be_late_a_few_times(alone: UnwatchedModels, local: FakeTriton) -> None:
    local.infer = never
    for count in range(1, TIMEOUTS_TOLERATED + 2):
        with pytest.raises(RoleUnavailable, match="timeout"):
            await ask(alone)
        assert len(local.requests) == count
    with pytest.raises(RoleUnavailable, match="timeout"):
        await ask(alone)
    assert len(local.requests) == TIMEOUTS_TOLERATED + 1


async def test_all_attempts_share_one_deadline(both: UnwatchedModels, remote: FakeTriton, local: FakeTriton) -> None:
    remote.infer = local.infer = never
    began = time.perf_counter()
    with deadline.limit(TIMEOUT_MS + 100), pytest.raises(RoleUnavailable) as caught:
        await ask(both)
    assert TIMEOUT_MS + 90 <= (time.perf_counter() - began) * 1000 < 2 * TIMEOUT_MS
    assert caught.value.reason == "budget"
    assert len(local.requests) == 1


async def test_short_deadline_does_not_open_the_breaker(
    both: UnwatchedModels, remote: FakeTriton, local: FakeTriton
) -> None:
    remote.infer = never
    with deadline.limit(50), pytest.raises(RoleUnavailable, match="budget"):
        await ask(both)
    assert local.requests == []
    assert both.at(Role.GUARD, Place.REMOTE).breaker.failure is None


async def test_deadline_of_a_whole_attempt_counts_as_a_timeout(alone: UnwatchedModels, local: FakeTriton) -> None:
    local.infer = never
    for _ in range(TIMEOUTS_TOLERATED + 1):
        with deadline.limit(TIMEOUT_MS), pytest.raises(RoleUnavailable, match="timeout"):
            await ask(alone)
    assert alone.models.unavailable == {Role.GUARD: "timeout"}


async def test_no_call_after_the_deadline(both: UnwatchedModels, remote: FakeTriton) -> None:
    with deadline.limit(0), pytest.raises(RoleUnavailable, match="budget"):
        await ask(both)
    assert remote.requests == []


async def test_request_stats_record_every_attempt(both: UnwatchedModels, remote: FakeTriton, local: FakeTriton) -> None:
    local.compute_ns = (2_000_000,)
    at = both.at(Role.GUARD)
    at.apply_metadata(await at.connection.client.model_metadata(at.model, 1.0))
    at.connection.network_ms = 0.5
    remote.infer = failing(grpc.StatusCode.UNAVAILABLE)
    for _ in range(2):
        with request_stats.collect() as stats:
            await ask(both)
        failed, answered = stats.models
        assert (failed.role, failed.place, failed.reason) == (Role.GUARD, Place.REMOTE, "unreachable")
        assert (answered.place, answered.reason) == (Place.LOCAL, "")
        assert (answered.compute_ms, answered.network_ms) == (2.0, 0.5)
        assert answered.total_ms > 0
    # The second time the place was passed over, which took no time.
    assert failed.total_ms == 0


async def test_status_has_durations_of_successful_calls(both: UnwatchedModels) -> None:
    for _ in range(3):
        await ask(both)
    remote, local = (await status(both)).backends
    assert (remote.calls, len(remote.recent_ms), local.calls) == (3, 3, 0)
    assert all(0 < each < TIMEOUT_MS for each in remote.recent_ms)


async def test_failed_chunk_moves_the_whole_call_to_the_next_backend(
    both: UnwatchedModels, remote: FakeTriton, local: FakeTriton
) -> None:
    local.raw = None

    async def second_fails(request: Any, context: Any) -> Any:
        if len(remote.requests) == 2:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        return remote.answer(request, [floats(0.5, 0.5)])

    remote.infer = second_fails
    assert await both.models.attack_probabilities(Role.GUARD, ["x"] * 4) == (0.25,) * 4


async def test_many_texts_share_the_slots_and_one_deadline(alone: UnwatchedModels, local: FakeTriton) -> None:
    running: list[int] = [0]

    async def slow(request: Any, _: Any) -> Any:
        running.append(running[-1] + 1)
        await asyncio.sleep(TIMEOUT_MS / 1000 / 4)
        running.append(running[-1] - 1)
        return local.answer(request, [floats(0.25, 0.25)])

    local.infer = slow
    texts = [str(number) for number in range(32)]
    with request_from("10.0.0.1"):
        assert await alone.models.attack_probabilities(Role.GUARD, texts) == (0.25,) * len(texts)
        assert max(running) == 8
        began = time.perf_counter()
        with pytest.raises(RoleUnavailable, match=r"overloaded|budget"):
            await alone.models.attack_probabilities(Role.GUARD, texts * 4)
    assert time.perf_counter() - began < 2 * TIMEOUT_MS / 1000


async def test_calls_respect_the_servers_batch_size(alone: UnwatchedModels, local: FakeTriton) -> None:
    local.raw = None
    tensors = (TensorMetadata("TEXT", "BYTES", (-1, 1)),), (TensorMetadata("PROB", "FP32", (-1, 1)),)
    at = alone.at(Role.GUARD)
    at.apply_metadata(ModelMetadata(*tensors, max_batch_size=1))
    await alone.models.attack_probabilities(Role.GUARD, ["x", "y"])
    assert len(local.requests) == 2
    at.apply_metadata(ModelMetadata(*tensors, max_batch_size=64))
    await alone.models.attack_probabilities(Role.GUARD, ["x", "y"])
    assert len(local.requests) == 3


async def test_embeds_in_the_requested_spaces(remote: FakeTriton, local: FakeTriton) -> None:
    local.raw = None
    config = inference({Place.REMOTE: remote.address, Place.LOCAL: local.address}, Role.EMBED)
    async with unwatched(config) as both:
        assert list(both.models.spaces) == ["remote", "local"]
        assert (await both.models.embed(["x"])).space == "remote"
        assert (await both.models.embed(["x"], ["local"])).space == "local"
        local.infer = failing(grpc.StatusCode.UNAVAILABLE)
        with pytest.raises(RoleUnavailable, match=FailureReason.UNREACHABLE):
            await both.models.embed(["x"], ["local"])

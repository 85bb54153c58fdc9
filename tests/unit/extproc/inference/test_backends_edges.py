"""Backends: the calls of a request, the reading speed, and the blame for a late answer."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from extproc import request_stats
from extproc.client_context import request_from
from extproc.inference import deadline
from extproc.inference.call_failures import CallFailed, Failure, FailureReason
from extproc.inference.fallback import RoleClient
from extproc.inference.interface import RoleUnavailable
from extproc.inference.kserve import ModelMetadata, TensorMetadata
from extproc.inference.role_clients import RoleClients
from extproc.shared.filter_config import Backend, Inference, Place, RoleBackends, Server
from extproc.shared.roles import Role
from tests.unit.extproc.inference.servers import TIMEOUT_MS, FakeTriton, floats, never, serving, unwatched

MODEL = "my-guard"
# Six letters are one token, which is four bytes of work.
WORD = "abcdef "
UNREACHABLE = Failure(FailureReason.UNREACHABLE, "gone")


@pytest.fixture
async def triton() -> AsyncIterator[FakeTriton]:
    async with serving(FakeTriton()) as fake:
        yield fake


def config(triton: FakeTriton, **backend: Any) -> Inference:
    guard = Backend(place=Place.LOCAL, model=MODEL, **backend)
    return Inference(
        servers={Place.LOCAL: Server(address=triton.address)},
        roles={Role.GUARD: RoleBackends(backends=(guard,), timeout_ms=TIMEOUT_MS)},
        models_timeout_ms=10_000,
    )


def both_places(triton: FakeTriton) -> Inference:
    """Two places with one server behind them."""
    backends = tuple(
        Backend(place=place, model=MODEL, calls=1, bulk_bytes=8_000) for place in (Place.REMOTE, Place.LOCAL)
    )
    return Inference(
        servers={place: Server(address=triton.address) for place in (Place.REMOTE, Place.LOCAL)},
        roles={Role.GUARD: RoleBackends(backends=backends, timeout_ms=TIMEOUT_MS)},
        models_timeout_ms=10_000,
    )


def texts_of(request: Any) -> list[str]:
    """Returns the texts of one call."""
    texts, raw = [], request.raw_input_contents[0]
    while raw:
        (length,) = struct.unpack_from("<I", raw)
        texts.append(raw[4 : 4 + length].decode())
        raw = raw[4 + length :]
    return texts


async def test_call_has_at_most_call_bytes_of_work(triton: FakeTriton) -> None:
    texts = [WORD * 10, WORD * 10, WORD * 5, WORD * 30, WORD]
    async with unwatched(config(triton, max_batch=8, call_bytes=80)) as backends:
        await backends.models.attack_probabilities(Role.GUARD, texts)
    # 40 + 40, 20, a text that is too long for a call gets one, 4.
    calls = sorted(triton.requests, key=lambda request: texts.index(texts_of(request)[0]))
    assert [len(texts_of(request)) for request in calls] == [2, 1, 1, 1]


async def test_short_requests_do_not_set_the_reading_speed(triton: FakeTriton) -> None:
    async with unwatched(config(triton, bulk_bytes=8_000)) as backends:
        backend = backends.at(Role.GUARD)
        await backends.models.attack_probabilities(Role.GUARD, [WORD * 1_999])
        assert backend.bytes_per_s is None
        await backends.models.attack_probabilities(Role.GUARD, [WORD * 2_000])
        assert backend.bytes_per_s is not None


@pytest.mark.parametrize(("background", "threads"), [(True, 4), (False, 1)])
async def test_reading_speed_is_work_per_compute_time(triton: FakeTriton, background: bool, threads: int) -> None:
    triton.compute_ns = (2_000_000,)
    bulk = {"bulk_bytes": 8_000, "bulk_calls": 4, "background": background}
    async with unwatched(config(triton, **bulk)) as backends:
        backend = backends.at(Role.GUARD)
        backend.apply_metadata(await backend.connection.client.model_metadata(backend.model, 1.0))
        await backends.models.attack_probabilities(Role.GUARD, [WORD * 2_000])
        assert backend.bytes_per_s == pytest.approx(8_000 / 0.002 * threads)


async def test_model_with_other_tensors_is_refused(triton: FakeTriton) -> None:
    tensors = (TensorMetadata("TEXT", "BYTES", (-1, 1)),), (TensorMetadata("OTHER", "FP32", (-1, 1)),)
    async with unwatched(config(triton)) as backends:
        with pytest.raises(CallFailed) as caught:
            backends.at(Role.GUARD).apply_metadata(ModelMetadata(*tensors, max_batch_size=1))
    assert caught.value.failure.reason is FailureReason.MISMATCH


async def test_a_backend_is_not_blamed_for_the_time_that_a_call_waited_in_the_queue(triton: FakeTriton) -> None:
    released = asyncio.Event()

    async def first_answers(request: Any, context: Any) -> Any:
        if len(triton.requests) > 1:
            return await never(request, context)
        await released.wait()
        return triton.answer(request, [floats(0.25)])

    triton.infer = first_answers
    # The breaker of a backend with a fallback opens on the first timeout.
    async with unwatched(both_places(triton)) as backends:
        with request_from("10.0.0.1"):
            first = asyncio.create_task(backends.roles[Role.GUARD].backends[0].infer({"TEXT": ["x"]}, _read, 1.0))
            await asyncio.sleep(0.01)
        with request_from("10.0.0.2"), request_stats.collect() as spent:
            second = asyncio.create_task(backends.models.attack_probabilities(Role.GUARD, ["y"]))
            await asyncio.sleep(TIMEOUT_MS / 1000 / 2)
            released.set()
            with pytest.raises(RoleUnavailable):
                await second
        await first
        assert spent.models[0].place is Place.REMOTE
        assert spent.models[0].reason == "budget"
        assert backends.at(Role.GUARD, Place.REMOTE).breaker.failure is None


def _read(count: int, raw: bytes) -> float:
    assert (count, len(raw)) == (1, 4)
    return 0.25


async def test_work_of_the_gateway_itself_is_not_queued(triton: FakeTriton) -> None:
    errors: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))

    async def wait_for_the_other(request: Any, _: Any) -> Any:
        while len(triton.requests) < 2:  # noqa: ASYNC110 - the other call runs on the server
            await asyncio.sleep(0.01)
        return triton.answer(request, [floats(0.25)])

    triton.infer = wait_for_the_other
    async with unwatched(config(triton, calls=1)) as backends:
        await asyncio.gather(*(backends.models.attack_probabilities(Role.GUARD, ["x"]) for _ in range(2)))
    assert errors == []


async def test_the_reading_speed_of_a_role_is_that_of_its_first_healthy_backend(triton: FakeTriton) -> None:
    async with unwatched(both_places(triton)) as backends:
        role = backends.roles[Role.GUARD]
        await backends.models.attack_probabilities(Role.GUARD, [WORD * 2_000])
        assert role.bytes_per_s == backends.at(Role.GUARD, Place.REMOTE).bytes_per_s is not None
        backends.at(Role.GUARD, Place.REMOTE).record_failure(UNREACHABLE)
        assert role.bytes_per_s is None
        await backends.models.attack_probabilities(Role.GUARD, [WORD * 2_000])
        assert role.bytes_per_s == backends.at(Role.GUARD, Place.LOCAL).bytes_per_s is not None
        backends.at(Role.GUARD, Place.LOCAL).record_failure(UNREACHABLE)
        assert role.bytes_per_s is None


async def test_only_the_first_request_waits_for_the_first_probe(triton: FakeTriton) -> None:
    served = config(triton)
    async with unwatched(served) as backends:
        connection = backends.at(Role.GUARD).connection
        unprobed = RoleClients(
            {Role.GUARD: RoleClient(Role.GUARD, served.roles[Role.GUARD], {Place.LOCAL: connection})}
        )
        for waits in (True, False):
            began = time.perf_counter()
            with pytest.raises(RoleUnavailable, match="starting"):
                await unprobed.attack_probabilities(Role.GUARD, ["x"])
            assert (time.perf_counter() - began > TIMEOUT_MS / 2000) is waits
    assert triton.requests == []


async def test_call_without_a_slot_in_time_is_overloaded_and_opens_no_breaker(triton: FakeTriton) -> None:
    triton.infer = never
    async with unwatched(config(triton, calls=1)) as backends:
        with request_from("10.0.0.1"):
            first = asyncio.create_task(backends.at(Role.GUARD).infer({"TEXT": ["x"]}, _read, 10.0))
            await asyncio.sleep(0.01)
        with request_from("10.0.0.2"), pytest.raises(RoleUnavailable) as caught:
            await backends.models.attack_probabilities(Role.GUARD, ["y"])
        assert caught.value.reason == "overloaded"
        assert backends.at(Role.GUARD).breaker.failure is None
        first.cancel()
        await asyncio.wait({first})


async def test_the_calls_of_one_request_may_use_all_of_its_deadline(triton: FakeTriton) -> None:
    async def slow(request: Any, _: Any) -> Any:
        await asyncio.sleep(TIMEOUT_MS / 1000 / 3)
        return triton.answer(request, [floats(0.25)])

    triton.infer = slow
    async with unwatched(config(triton, calls=1, max_batch=1)) as backends:
        with request_from("10.0.0.1"), deadline.limit(10 * TIMEOUT_MS):
            answer = await backends.models.attack_probabilities(Role.GUARD, ["a", "b", "c", "d"])
    assert answer == (0.25,) * 4


async def test_closing_a_backend_ends_the_calls_that_nobody_waits_for(triton: FakeTriton) -> None:
    cancelled = asyncio.Event()

    async def wait(_request: Any, _context: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    triton.infer = wait
    async with unwatched(config(triton)) as backends:
        with pytest.raises(RoleUnavailable, match="timeout"):
            await backends.models.attack_probabilities(Role.GUARD, ["x"])
        await asyncio.sleep(0.05)
        assert not cancelled.is_set()
        await backends.at(Role.GUARD).close()
        await asyncio.wait_for(cancelled.wait(), 5)


async def test_without_time_the_reason_is_the_deadline_even_if_a_backend_is_down(triton: FakeTriton) -> None:
    async with unwatched(both_places(triton)) as backends:
        for place in (Place.REMOTE, Place.LOCAL):
            backends.at(Role.GUARD, place).record_failure(UNREACHABLE)
        with deadline.limit(0), pytest.raises(RoleUnavailable) as caught:
            await backends.models.attack_probabilities(Role.GUARD, ["x"])
    assert caught.value.reason == "budget"

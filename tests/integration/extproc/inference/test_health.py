"""Probes and recovery of backends, over real gRPC servers."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import socket
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from extproc.inference import deadline
from extproc.inference.circuit_breaker import CircuitBreaker
from extproc.inference.interface import RoleUnavailable
from extproc.inference.kserve import TensorMetadata
from extproc.inference.role_clients import RoleClients, open_models
from extproc.shared.filter_config import Place, Server, TextRole
from extproc.shared.roles import Role
from extproc.shared.worker_status import BackendStatus
from tests.unit.extproc.inference.servers import (
    TIMEOUT_MS,
    FakeTriton,
    failing,
    floats,
    inference,
    never,
    serving,
    unwatched,
)

TEXT = TensorMetadata("TEXT", "BYTES", (-1, 1))
# Recovery is promised within 5 s.
PROMISED_S = 5.0


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """The address of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


async def until(holds: Callable[[], bool], within_s: float = PROMISED_S) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110 - what is waited for happens in another process' time
            await asyncio.sleep(0.01)


async def backend(models: RoleClients, role: Role = Role.GUARD, index: int = 0) -> BackendStatus:
    return (await models.status()).roles[role].backends[index]


async def test_roles_are_available_once_each_model_has_answered() -> None:
    async with serving(FakeTriton()) as fake:
        fake_roles = tuple(role for role in Role if role is not Role.CHAT)
        async with open_models(inference({Place.LOCAL: fake.address}, *fake_roles)) as models:
            assert models.unavailable == dict.fromkeys(fake_roles, "starting")
            await until(lambda: not models.unavailable)
            assert {request.model_name for request in fake.requests} == {f"my-{role}" for role in fake_roles}


async def test_gateway_without_models_has_no_status() -> None:
    async with open_models(None) as models:
        assert models.unavailable == {}
        assert (await models.status()).roles == {}


async def test_first_request_waits_for_the_first_probe() -> None:
    async with (
        serving(FakeTriton()) as fake,
        open_models(inference({Place.LOCAL: fake.address}, Role.GUARD)) as models,
    ):
        assert await models.attack_probabilities(Role.GUARD, ["x"]) == (0.25,)


async def test_only_one_request_waits_for_a_first_probe_that_hangs(
    silent: str,
) -> None:
    async with serving(FakeTriton()) as local:
        config = inference({Place.REMOTE: silent, Place.LOCAL: local.address}, Role.GUARD)
        async with open_models(config) as models:
            began = time.perf_counter()
            assert await models.attack_probabilities(Role.GUARD, ["x"]) == (0.25,)
            first, began = time.perf_counter() - began, time.perf_counter()
            assert await models.attack_probabilities(Role.GUARD, ["x"]) == (0.25,)
            assert time.perf_counter() - began < TIMEOUT_MS / 1000 / 2
    assert first >= TIMEOUT_MS / 1000


async def test_waiting_for_the_first_probe_counts_towards_the_deadline() -> None:
    async with (
        serving(FakeTriton()) as fake,
        unwatched(inference({Place.LOCAL: fake.address}, Role.GUARD, timeout_ms=60_000)) as unwatched_models,
    ):
        fake.infer = never
        at = unwatched_models.at(Role.GUARD)
        at.breaker = CircuitBreaker(has_fallback=False)
        at.probed.clear()
        deadline_s = 1.0
        asyncio.get_running_loop().call_later(deadline_s / 2, at.record_probe, None)
        began = time.perf_counter()
        with deadline.limit(int(deadline_s * 1000)), pytest.raises(RoleUnavailable, match="budget"):
            await unwatched_models.models.attack_probabilities(Role.GUARD, ["x"])
        assert time.perf_counter() - began < deadline_s * 1.4


async def test_hanging_remote_is_detected_before_a_long_role_timeout() -> None:
    async with serving(FakeTriton(infer=never)) as fake:
        config = inference({Place.REMOTE: fake.address}, Role.FUNCTION, timeout_ms=60_000)
        async with open_models(config) as models:
            await until(lambda: bool(models.unavailable) and models.unavailable != {Role.FUNCTION: "starting"})
            assert models.unavailable == {Role.FUNCTION: "timeout"}


async def test_recovered_server_is_used_again(tmp_path: Path) -> None:
    address = f"unix:{tmp_path}/s"
    config = inference({Place.REMOTE: address}, Role.GUARD)
    async with open_models(config) as models:
        await until(lambda: models.unavailable == {Role.GUARD: "unreachable"})
        async with serving(FakeTriton(), address):
            await until(lambda: not models.unavailable)
            assert await models.attack_probabilities(Role.GUARD, ["x"]) == (0.25,)
        await until(lambda: models.unavailable == {Role.GUARD: "unreachable"})
        async with serving(FakeTriton(), address):
            await until(lambda: not models.unavailable)


async def test_open_backend_receives_only_probes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(FakeTriton()) as remote, serving(FakeTriton(raw=[floats(0.75)])) as local:
        config = inference({Place.REMOTE: remote.address, Place.LOCAL: local.address}, Role.GUARD)
        async with open_models(config) as models:
            assert await models.attack_probabilities(Role.GUARD, ["x"]) == (0.25,)
            remote.infer = failing(grpc.StatusCode.UNAVAILABLE, "gone")
            assert await models.attack_probabilities(Role.GUARD, ["x"]) == (0.75,)
            remote.requests.clear()
            for _ in range(20):
                assert await models.attack_probabilities(Role.GUARD, ["a prompt"]) == (0.75,)
            assert all(b"a prompt" not in request.raw_input_contents[0] for request in remote.requests)
            remote.infer = None
            async with asyncio.timeout(PROMISED_S):
                while await models.attack_probabilities(Role.GUARD, ["x"]) != (0.25,):  # noqa: ASYNC110 - as in `until`
                    await asyncio.sleep(0.01)
    remote_records = [record for record in caplog.records if getattr(record, "fields", {}).get("place") == Place.REMOTE]
    events = [record.getMessage() for record in remote_records if "available" in record.getMessage()]
    assert events == ["model available", "model unavailable", "model available"]


async def test_remote_model_may_gain_and_lose_the_role_of_texts() -> None:
    remote = FakeTriton(inputs=[TEXT, TensorMetadata("ROLE", "BYTES", (-1, 1))])

    async def exact(request: Any, context: Any) -> Any:
        """Refuses other inputs than the model has, as Triton does."""
        assert remote.inputs is not None
        if len(request.inputs) != len(remote.inputs):
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "unexpected inference input")
        return remote.answer(request, [floats(*([0.25] * request.inputs[0].shape[0]))])

    remote.infer = exact
    async with serving(remote), open_models(inference({Place.REMOTE: remote.address}, Role.GUARD)) as models:
        for inputs in ([TEXT], [TEXT, TensorMetadata("ROLE", "BYTES", (-1, 1))]):
            assert await models.attack_probabilities(Role.GUARD, ["x"], [TextRole.TOOL]) == (0.25,)
            remote.inputs = inputs
            await until(lambda: bool(models.unavailable))
            await until(lambda: not models.unavailable)


async def test_model_with_another_signature_is_never_called() -> None:
    wrong = FakeTriton(outputs=[TensorMetadata("LABEL", "INT64", (-1, 1))])
    async with (
        serving(wrong),
        open_models(inference({Place.REMOTE: wrong.address}, Role.GUARD)) as models,
    ):
        with pytest.raises(RoleUnavailable, match="mismatch"):
            await models.attack_probabilities(Role.GUARD, ["x"])
        assert wrong.requests == []
        found = await backend(models)
        assert (found.ready, found.reason) == (False, "mismatch")
        assert found.detail == (
            "model my-guard: expected inputs TEXT BYTES [-1, 1], outputs PROB FP32 [-1, 1]; "
            "found inputs TEXT BYTES [-1, 1], outputs LABEL INT64 [-1, 1]"
        )
        wrong.outputs = None
        await until(lambda: not models.unavailable)


async def test_recovered_model_must_have_the_signature_again() -> None:
    async with (
        serving(FakeTriton()) as fake,
        open_models(inference({Place.LOCAL: fake.address}, Role.GUARD)) as models,
    ):
        await until(lambda: not models.unavailable)
        fake.infer = failing(grpc.StatusCode.UNAVAILABLE)
        await until(lambda: models.unavailable == {Role.GUARD: "unreachable"})
        fake.outputs, fake.infer = [], None
        await until(lambda: models.unavailable != {Role.GUARD: "unreachable"})
        assert models.unavailable == {Role.GUARD: "mismatch"}


async def test_failure_of_the_last_backend_is_probed_at_once() -> None:
    async with (
        serving(FakeTriton()) as fake,
        open_models(inference({Place.LOCAL: fake.address}, Role.GUARD)) as models,
    ):
        await models.attack_probabilities(Role.GUARD, ["x"])

        async def one_prompt_fails(request: Any, context: Any) -> Any:
            if b"bad" in request.raw_input_contents[0]:
                await context.abort(grpc.StatusCode.INTERNAL, "ValueError")
            return fake.answer(request, [floats(0.25)])

        fake.infer = one_prompt_fails
        with pytest.raises(RoleUnavailable, match="refused"):
            await models.attack_probabilities(Role.GUARD, ["bad"])
        await until(lambda: not models.unavailable, within_s=0.5)


async def test_round_trips_are_measured_while_the_server_answers() -> None:
    async with (
        serving(FakeTriton()) as fake,
        open_models(inference({Place.LOCAL: fake.address}, Role.GUARD)) as models,
    ):
        (at,) = models._roles[Role.GUARD].backends
        await until(lambda: at.connection.network_ms > 0)
        assert at.connection.network_ms < 1000


@pytest.mark.parametrize("is_locked", [False, True])
async def test_dead_process_is_reloaded_by_one_worker_at_a_time(tmp_path: Path, *, is_locked: bool) -> None:
    lock = tmp_path / "repair.lock"
    dead = FakeTriton(infer=failing(grpc.StatusCode.INTERNAL, "Stub process 'guard_0_0' is not healthy."))
    async with serving(dead):
        config = inference({Place.LOCAL: Server(address=dead.address, reload_lock=str(lock))}, Role.GUARD)
        with lock.open("a") as file:
            if is_locked:
                fcntl.flock(file, fcntl.LOCK_EX)
            async with open_models(config) as models:
                await until(lambda: models.unavailable == {Role.GUARD: "dead"})
                if is_locked:
                    probes = len(dead.requests)
                    await until(lambda: len(dead.requests) > probes)
                    assert dead.loads == []
                else:
                    await until(lambda: dead.loads[:2] == ["unload my-guard", "load my-guard"])


@pytest.mark.parametrize("role", [Role.GUARD, Role.CHAT])
async def test_unloaded_model_is_loaded_from_the_repository(tmp_path: Path, role: Role) -> None:
    """Whoever unloaded it: the model of a role, or the chat model, which answers in streams."""
    async with serving(FakeTriton()) as fake:
        server = Server(address=fake.address, reload_lock=str(tmp_path / "repair.lock"))
        async with open_models(inference({Place.LOCAL: server}, role)) as models:
            await until(lambda: not models.unavailable)
            fake.ready = False
            await until(lambda: bool(fake.loads))
            await until(lambda: not models.unavailable)
            assert fake.loads == [f"load my-{role}"]


async def test_models_of_a_remote_server_are_not_reloaded() -> None:
    missing = FakeTriton(ready=False)
    async with serving(missing), open_models(inference({Place.REMOTE: missing.address}, Role.GUARD)) as models:
        await until(lambda: models.unavailable == {Role.GUARD: "unloaded"})
        before = len(missing.upstreams)
        await until(lambda: len(missing.upstreams) > before + 1)
        assert missing.loads == []
    dead = FakeTriton(infer=failing(grpc.StatusCode.INTERNAL, "Stub process 'guard_0_0' is not healthy."))
    async with serving(dead), open_models(inference({Place.REMOTE: dead.address}, Role.GUARD)) as models:
        await until(lambda: models.unavailable == {Role.GUARD: "dead"})
        await until(lambda: len(dead.requests) > 1)
        assert dead.loads == []

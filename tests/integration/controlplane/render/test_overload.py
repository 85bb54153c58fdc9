"""Envoy refuses requests near its heap limit, and accepts them again later."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from controlplane.compile.plans import Address, Upstream
from controlplane.config.quantities import MIB
from controlplane.runtime import memory_limit, ports
from tests.integration.controlplane.render.envoy_server import Api, running
from tests.integration.controlplane.render.test_response_headers import CHAT, llm, with_stand_in
from tests.support.flood import unread
from tests.unit.controlplane.render.plans import listener, plan, provider

__all__ = ["llm"]


@pytest.mark.parametrize(
    ("machine", "heap"), [(1 << 30, 256 * MIB), (8 << 30, 1024 * MIB), (24 << 30, 2048 * MIB), (1 << 40, 2048 * MIB)]
)
def test_heap_limit_is_a_share_of_the_memory(machine: int, heap: int) -> None:
    assert memory_limit.envoy_heap_bytes(machine) == heap


def test_reads_the_memory_of_this_machine() -> None:
    assert memory_limit.available_bytes() > 256 * MIB


def test_full_heap_refuses_requests_until_memory_is_free(llm: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Api, "answer_body", b"x" * 200_000)
    first, second = ports.free(2)
    its = replace(
        provider(key=None),
        upstream=Upstream("provider_openai", (Address("127.0.0.1", llm),), 1000),
        idle_timeout_ms=60_000,
    )
    subject = replace(
        plan(its), listeners=(listener("ingress", first), listener("egress", second)), max_heap_bytes=40 * MIB
    )
    with running(subject, change=lambda files: with_stand_in(files, {})) as gateway:

        def status() -> bytes:
            head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            return gateway.raw("egress", f"{head}content-length: 2\r\nconnection: close\r\n\r\n{{}}".encode())[:12]

        def wait_for(expected: bytes) -> None:
            deadline = time.monotonic() + 30
            while status() != expected:
                assert time.monotonic() < deadline, f"never {expected!r}"

        assert status() == b"HTTP/1.1 200"
        with unread(second, 12) as clients:
            for client in clients:
                client.ask(100, b"{}", CHAT)
            wait_for(b"HTTP/1.1 503")
            assert b"gateway_unavailable" in gateway.raw(
                "egress", b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
            )
        wait_for(b"HTTP/1.1 200")

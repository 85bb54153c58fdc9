"""Clients that send requests and read no answer: little memory, and no effect on others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import psutil
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.stack import Stack, wait_for
from tests.support.behaviour import Behaviour
from tests.support.flood import Unread, unread
from tests.support.llm_provider import LlmProvider

_MIB: Final = 1 << 20
_CHAT: Final = "/v1/chat/completions"
_BODY: Final = json.dumps({"messages": [{"role": "user", "content": "Hello"}]}).encode()
# Larger than all buffers between provider and client.
_ANSWER: Final = Behaviour(raw="x" * (2 * _MIB), content_type="application/json")
# Memory of an unread stream: 50 KiB of its own, and the buffers on both sides of Envoy.
_PER_STREAM: Final = 256 * 1024


def _resident(stack: Stack) -> int:
    return sum(psutil.Process(pid).memory_info().rss for pid in stack.pids("envoy"))


def _peak(stack: Stack, clients: Sequence[Unread]) -> int:
    """Returns the peak memory of Envoy until each stream has its response headers or has ended."""
    peak = 0
    open_ones = list(clients)

    def all_answered() -> bool:
        nonlocal peak, open_ones
        open_ones = [client for client in open_ones if client.look(0.005)]
        peak = max(peak, _resident(stack))
        return all(len(client.answered | client.reset) == client.streams for client in open_ones)

    wait_for(all_answered)
    return max(peak, _resident(stack))


@pytest.mark.runtime(Runtime.NATIVE, why="the same Envoy with the same limits")
@pytest.mark.parametrize(
    "connections", [10, pytest.param(60, marks=pytest.mark.soak)], ids=["ten connections", "sixty connections"]
)
def test_client_that_reads_nothing_holds_little_memory(
    stack: Stack, provider: LlmProvider, second_provider: LlmProvider, connections: int
) -> None:
    port = urlsplit(stack.url("egress")).port
    assert port is not None
    stack.post("egress", _BODY)
    before = _resident(stack)
    with provider.answering(_ANSWER), unread(port, connections) as clients:
        for client in clients:
            client.ask(100, _BODY, _CHAT)
        streams = sum(client.streams for client in clients)
        # The limit of streams per connection applies.
        assert streams < connections * 50
        growth = _peak(stack, clients) - before
        assert growth < streams * _PER_STREAM, f"{growth / _MIB:.0f} MiB for {streams} streams"
        # A provider that sends none of those answers.
        assert stack.post("egress", _BODY, {"x-arch-llm-provider-hint": "second"}).status_code == 200
    wait_for(lambda: stack.post("egress", _BODY).status_code == 200)

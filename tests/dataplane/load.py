"""Clients that send one prompt after another while a test breaks something."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from tests.dataplane.stack import Stack, wait_for

_COUNT = itertools.count(1)


def prompt() -> dict[str, Any]:
    """Returns a new prompt, since the guard caches its verdicts."""
    return {"messages": [{"role": "user", "content": f"Write a haiku about {next(_COUNT)} autumn leaves"}]}


class Load:
    """Concurrent clients, and a count of the HTTP statuses and the names of transport errors that they saw."""

    def __init__(self, stack: Stack, listener: str, clients: int = 8) -> None:
        self._url = f"{stack.url(listener)}/v1/chat/completions"
        self._stop = threading.Event()
        self.seen: Counter[int | str] = Counter()
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]

    def _client(self) -> None:
        with httpx2.Client(timeout=30) as client:
            while not self._stop.is_set():
                try:
                    self.seen[client.post(self._url, json=prompt()).status_code] += 1
                except httpx2.TransportError as error:
                    self.seen[type(error).__name__] += 1

    @contextmanager
    def running(self) -> Iterator[Counter[int | str]]:
        for thread in self._threads:
            thread.start()
        try:
            self.more()
            yield self.seen
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join()

    def more(self, count: int = 50) -> None:
        """Wait for `count` more answers with status 200."""
        goal = self.seen[200] + count
        wait_for(lambda: self.seen[200] >= goal)

"""The latency of other clients beside a heavy client, which sends long texts or large, dense bodies. `--rows heavy`.

Both have the same address, so that only the length of their requests differs.
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import re
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from pydoc_data.topics import topics
from typing import Final

from bench import gateway, load
from bench.gateway import Gateway

_CHAT: Final = "/v1/chat/completions"
_PROMPTS_PER_S: Final = 4.0
_TIMEOUT_S: Final = 60.0
_NUMBERS: Final = itertools.count()

Say = Callable[[str], None]


@dataclass(slots=True)
class Client:
    """The answers to one client: the seconds of each, and the number of answers by status."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[str, int] = field(default_factory=dict)

    def record(self, status: str, seconds: float) -> None:
        self.seconds.append(seconds)
        self.statuses[status] = self.statuses.get(status, 0) + 1

    @property
    def p50(self) -> float:
        return statistics.median(self.seconds) if self.seconds else 0.0

    @property
    def p99(self) -> float:
        return sorted(self.seconds)[int(len(self.seconds) * 0.99)] if self.seconds else 0.0


@dataclass(frozen=True, slots=True)
class Beside:
    """A row of the table: the other clients on each listener, and the heavy client beside them."""

    name: str
    ingress: Client
    egress: Client
    heavy: Client


def measure(scratch: Path, upstream: int, seconds: float, say: Say) -> list[str]:
    """Returns the report as Markdown."""
    alone, rows = [], []
    with gateway.started(scratch / "heavy", upstream) as running:
        alone_ = [_alone(running, size) for size in (30_000, 400_000)]
        alone += [f"{size // 1000} KB alone: {took:.2f} s, status {status}" for size, status, took in alone_]
        idle = _beside(running, "no heavy client", None, seconds, say)
        rows.append(idle)
        for name, body in _heavy():
            rows.append(_beside(running, name, body, seconds, say))
    return [*_table(rows, idle), "", *(f"- {line}" for line in alone)]


def _heavy() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Yields bodies of a hostile client, up to 10 MiB. The last one is larger, so that Envoy refuses it."""
    for size in (3_000, 10_000, 30_000, 400_000, 1_000_000):
        yield f"prose, {size // 1000} KB", partial(_prose_body, size)
    yield "U+FDFA, 0.9 MB", lambda: _body("\ufdfa" * 300_000 + str(next(_NUMBERS)))
    for name, body in _dense():
        yield name, partial(bytes, body)


def _dense() -> Iterator[tuple[str, bytes]]:
    for count in (49_000, 700_000):
        yield f"{count:,} keys", _body("x", y={f"k{number}": 1 for number in range(count)})
    yield "1,000,000 values in a string, 5 MB", _body(json.dumps(["a"] * 1_000_000, separators=(",", ":")))
    yield "9,000,000 escaped characters", _body("\n" * 4_500_000)
    yield "a text of 5 MB", _body("lorem ipsum dolor sit amet " * 185_000)
    picture = f"data:image/png;base64,{'iVBORw0KGgoA' * 730_000}"
    yield "a picture of 9 MB", _body([{"type": "image_url", "image_url": {"url": picture}}])
    yield "11 MB, which Envoy refuses by itself", b" " * (11 << 20)


def _prose_body(size: int) -> bytes:
    return _body(prose(size))


def prose(size: int) -> str:
    """Returns sentences of Python's reference manual in a new random order, so that no cache has the text."""
    number = next(_NUMBERS)
    draw = random.Random(f"{number} {time.time_ns()}")  # noqa: S311 - no secret
    text, sentences = "", _sentences()
    while len(text) < size:
        text += f"{draw.choice(sentences)} ({draw.randrange(10**6)}) "
    return text[:size]


@cache
def _sentences() -> Sequence[str]:
    words = " ".join(topics.values()).replace("\n", " ")
    return [" ".join(found.split()) for found in re.findall(r"[A-Z][a-z][a-z, ]{40,200}\.", words)]


def _body(content: object, **fields: object) -> bytes:
    return json.dumps({"model": "mock", "messages": [{"role": "user", "content": content}], **fields}).encode()


def _alone(running: Gateway, size: int) -> tuple[int, str, float]:
    client = Client()
    _send(running.ingress, _body(prose(size)), client)
    (status,) = client.statuses
    return size, status, client.seconds[0]


def _beside(running: Gateway, name: str, body: Callable[[], bytes] | None, seconds: float, say: Say) -> Beside:
    say(f"heavy: beside {name}")
    ends = time.monotonic() + seconds
    found = Beside(name, Client(), Client(), Client())
    works: list[Callable[[], None]] = [
        lambda: _send_prompts(running.ingress, found.ingress, ends),
        lambda: _send_prompts(running.egress, found.egress, ends),
    ]
    if body is not None:
        works.append(lambda: _send_heavy(running.ingress, body, found.heavy, ends))
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def _send_prompts(url: str, client: Client, ends: float) -> None:
    """Sends short prompts at a steady rate, independent of the previous answers."""
    threads: list[threading.Thread] = []
    due = time.monotonic()
    while due < ends:
        time.sleep(max(0.0, due - time.monotonic()))
        body = _body(load.prompt(next(_NUMBERS)))
        threads.append(threading.Thread(target=_send, args=(url, body, client)))
        threads[-1].start()
        due += 1 / _PROMPTS_PER_S
    for thread in threads:
        thread.join()


def _send_heavy(url: str, body: Callable[[], bytes], client: Client, ends: float) -> None:
    while time.monotonic() < ends:
        _send(url, body(), client)


def _send(url: str, body: bytes, client: Client) -> None:
    host = url.removeprefix("http://").partition("/")[0]
    began = time.monotonic()
    connection = http.client.HTTPConnection(host, timeout=_TIMEOUT_S)
    try:
        connection.request("POST", _CHAT, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        status = str(answer.status)
    except (OSError, http.client.HTTPException) as error:
        # An early answer closes the connection while the body is being sent.
        status = type(error).__name__
    finally:
        connection.close()
    client.record(status, time.monotonic() - began)


def _table(rows: Sequence[Beside], idle: Beside) -> Iterator[str]:
    columns = (
        "ingress p50 | p99 | p50, p99 of idle | egress p50 | p99 | p99 of idle | other clients | heavy client | its p50"
    )
    yield f"| beside | {columns} |"
    yield "|---|--:|--:|--:|--:|--:|--:|---|---|--:|"
    for row in rows:
        others = _statuses(row.ingress, row.egress)
        yield (
            f"| {row.name} | {row.ingress.p50 * 1000:.0f} ms | {row.ingress.p99 * 1000:.0f} ms "
            f"| {row.ingress.p50 / idle.ingress.p50:.1f}, {row.ingress.p99 / idle.ingress.p99:.1f} "
            f"| {row.egress.p50 * 1000:.1f} ms | {row.egress.p99 * 1000:.1f} ms "
            f"| {row.egress.p99 / idle.egress.p99:.1f} | {others} | {_statuses(row.heavy)} | {row.heavy.p50:.2f} s |"
        )


def _statuses(*clients: Client) -> str:
    total: dict[str, int] = {}
    for client in clients:
        for status, count in client.statuses.items():
            total[status] = total.get(status, 0) + count
    return ", ".join(f"{count} x {status}" for status, count in sorted(total.items()))

"""`python -m bench.heavy_bodies`: egress beside clients that send large or dense bodies to ingress, back to back.

One honest client sends a small request to egress, waits for the answer and sends the next. Beside it two processes send
one kind of body. Prints a table for docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from bench import envoys, gateway, load
from bench.load import BODY
from bench.processes import free_ports, running

_CLIENTS: Final = 2
_JSON: Final = {"content-type": "application/json"}


def _user(content: str, more: str = "") -> bytes:
    return f'{{"messages":[{{"role":"user","content":{content}}}]{more}}}'.encode()


def bodies() -> Mapping[str, bytes]:
    """Bodies that a hostile client may send within 10 MiB. The last one shows the cost of the bytes alone."""
    keys = ",".join(f'"k{number}":1' for number in range(700_000))
    inner = json.dumps("[" + ",".join(['"a"'] * 1_000_000) + "]")
    picture = json.dumps(
        [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'iVBORw0KGgo' * 800_000}"}}]
    )
    return {
        "700,000 keys, 8 MB": _user('"x"', f',"y":{{{keys}}}'),
        "1,000,000 values in a string, 5 MB": _user(inner),
        "49,000 keys, 0.5 MB": _user('"x"', f',"y":{{{keys[: keys.index("k49000") - 2]}}}'),
        "9,000,000 escaped characters": _user('"' + "\\n" * 4_500_000 + '"'),
        "a text of 5 MB": _user(json.dumps("lorem ipsum dolor sit amet " * 185_000)),
        "a picture of 9 MB": _user(picture),
        "11 MB, which Envoy refuses by itself": b" " * (11 << 20),
    }


@dataclass(frozen=True, slots=True)
class Seen:
    """Milliseconds as the honest client saw them."""

    p50: float
    p99: float
    longest: float
    requests: int
    errors: int


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> int:
    connection.request("POST", path, body, _JSON)
    response = connection.getresponse()
    response.read()
    return response.status


def honest(url: str, seconds: float) -> Seen:
    """One request after the other for so long."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
    took: list[float] = []
    errors = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        began = time.perf_counter()
        try:
            errors += _post(connection, parts.path, BODY) != 200
        except (OSError, http.client.HTTPException):
            errors += 1
            connection.close()
        took.append((time.perf_counter() - began) * 1000)
        time.sleep(0.005)
    connection.close()
    cuts = statistics.quantiles(took, n=100)
    return Seen(statistics.median(took), cuts[98], max(took), len(took), errors)


def _hostile(url: str, body: bytes, pipe: Connection) -> None:
    parts = urlsplit(url)
    answers: Counter[str] = Counter()
    while not pipe.poll():
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=60)
        try:
            answers[str(_post(connection, parts.path, body))] += 1
        except (OSError, http.client.HTTPException) as error:
            # An early answer closes the connection while the body is still being sent.
            answers[type(error).__name__] += 1
        finally:
            connection.close()
    pipe.send(dict(answers))


@contextlib.contextmanager
def hostile(url: str, body: bytes) -> Iterator[Counter[str]]:
    """Two processes that send `body` for as long as the block runs; what they were answered afterwards."""
    context = multiprocessing.get_context("spawn")
    answers: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        pipes = []
        for _ in range(_CLIENTS):
            ours, theirs = context.Pipe()
            process = context.Process(target=_hostile, args=(url, body, theirs), daemon=True)
            process.start()
            stack.callback(process.join)
            pipes.append(ours)
        time.sleep(1)
        yield answers
        for pipe in pipes:
            pipe.send(None)
        for pipe in pipes:
            answers.update(pipe.recv())


def measure(egress: str, ingress: str, seconds: float, only: Sequence[str] = ()) -> Iterator[str]:
    """The lines of the table."""
    yield f"| beside {_CLIENTS} clients that send to ingress | p50 | p99 | longest | p99 / idle | their answers |"
    yield "|---|--:|--:|--:|--:|---|"
    honest(egress, 2)
    idle = honest(egress, seconds)
    yield f"| nothing | {idle.p50:.1f} | {idle.p99:.1f} | {idle.longest:.0f} | 1.0 | |"
    for name, body in bodies().items():
        if only and not any(part in name for part in only):
            continue
        with hostile(ingress, body) as answers:
            seen = honest(egress, seconds)
        said = ", ".join(f"{count} x {what}" for what, count in answers.most_common())
        failed = f", {seen.errors} errors" if seen.errors else ""
        yield (
            f"| {name} | {seen.p50:.1f} | {seen.p99:.1f} | {seen.longest:.0f} | {seen.p99 / idle.p99:.1f}{failed} "
            f"| {said} |"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.heavy_bodies", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement (default 10)")
    parser.add_argument("--only", nargs="*", default=(), help="kinds whose names hold one of these words")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        [upstream] = free_ports(1)
        file = scratch / "upstream.yaml"
        file.write_text(envoys.mock_upstream(upstream))
        url = f"http://127.0.0.1:{upstream}/v1/chat/completions"
        argv = envoys.argv(file, 1)
        with (
            running(argv, scratch / "upstream.log", ready=lambda: load.check(url), seconds=10),
            gateway.started(scratch / "archgw", upstream) as started,
        ):
            for line in measure(started.egress, started.ingress, arguments.seconds, arguments.only):
                print(line, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

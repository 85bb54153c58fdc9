"""Generates load with `wrk`, a C program, which takes little of the two cores that are measured."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SCRIPT: Final = Path(__file__).with_name("post.lua")
CONCURRENCIES: Final = (1, 8, 32)

# 30 to 32 tokens of all-MiniLM-L6-v2, with [CLS] and [SEP]. It matches none of the bench's prompt targets.
# wrk puts a new number into each request, since the guards cache probabilities.
PROMPT: Final = (
    "Please explain to me in a few sentences why the leaves of many trees turn red and yellow in the autumn (00000000)"
)
BODY: Final = json.dumps(
    {"model": "mock", "messages": [{"role": "user", "content": PROMPT}], "temperature": 0.2, "max_tokens": 64}
).encode()


def prompt(number: int) -> str:
    """Returns a prompt that no cache has."""
    return PROMPT.replace("00000000", f"{number:08}")


class BenchError(Exception):
    """The bench cannot continue, or its measurement is invalid."""


@dataclass(frozen=True, slots=True)
class Load:
    """One run of wrk. Latencies in milliseconds, as the client saw them."""

    concurrency: int
    p50: float
    p90: float
    p99: float
    per_second: float
    requests: int


def check(url: str) -> None:
    """Sends one request and checks the answer, so that error pages are never measured. Raises `OSError`."""
    request = urllib.request.Request(url, BODY, {"content-type": "application/json"})  # noqa: S310 - our own http URL
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        completion = json.load(answer)
    if completion["choices"][0]["message"]["content"] is None:
        raise BenchError(f"{url}: no completion: {completion}")


def run(url: str, concurrency: int, seconds: float, body_file: Path) -> Load:
    """Runs a closed loop: each of `concurrency` connections sends its next request after the last answer."""
    body_file.write_bytes(BODY)
    argv = ["wrk", "-t1", f"-c{concurrency}", f"-d{seconds:g}s", "--timeout", "30s", "-s", str(_SCRIPT), url]
    output = subprocess.run([*argv, "--", str(body_file)], check=True, capture_output=True, text=True).stdout
    result = json.loads(output.splitlines()[-1])
    failed = result["bad_status"] + result["broken"]
    if failed or not result["requests"]:
        raise BenchError(f"{url} at concurrency {concurrency}: {failed} of {result['requests']} requests failed")
    return Load(
        concurrency=concurrency,
        p50=result["p50_us"] / 1000,
        p90=result["p90_us"] / 1000,
        p99=result["p99_us"] / 1000,
        per_second=result["requests"] / (result["duration_us"] / 1e6),
        requests=result["requests"],
    )

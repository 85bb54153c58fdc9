"""`python -m evaluation [SECTION ...]`: runs the measurements and writes the sections of docs/quality.md."""

from __future__ import annotations

import argparse
import asyncio
import datetime
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final

from evaluation import bypass, dialogue, functions, grounding, guard, intent, latency, slots
from evaluation.gateway import EvaluationError, serving
from evaluation.report import Section, replaced
from extproc.inference.role_clients import RoleClients

_REPORT: Final = Path(__file__).parent.parent / "docs" / "quality.md"
_SECTIONS: Final[Mapping[str, Callable[[RoleClients], Awaitable[Section]]]] = {
    "guard": guard.measure,
    "bypass": bypass.measure,
    "intent": intent.measure,
    "functions": functions.measure,
    "grounding": grounding.measure,
    "dialogue": dialogue.measure,
    "slots": slots.measure,
    "latency": latency.measure,
}


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{len(os.sched_getaffinity(0))} cores of {model}, no GPU, Python {platform.python_version()}"


async def _measure(names: list[str], scratch: Path) -> None:
    async with serving(scratch) as models:
        for name in names:
            print(f"evaluation: {name}", file=sys.stderr, flush=True)
            started = time.monotonic()
            section = await _SECTIONS[name](models)
            minutes = (time.monotonic() - started) / 60
            taken = f"*{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {_machine()}; it took {minutes:.1f} minutes.*"
            # Written after each section, so that a later failure loses nothing.
            _REPORT.write_text(replaced(_REPORT.read_text(), section, taken))
            print(f"## {section.title}\n\n{section.body}\n", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="evaluation", description="Measure the gateway's decisions.")
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help="one of " + ", ".join(_SECTIONS) + "; by default all"
    )
    names = parser.parse_args().sections or list(_SECTIONS)
    if unknown := set(names) - set(_SECTIONS):
        parser.error(f"unknown sections: {', '.join(sorted(unknown))}")
    # SIGTERM, too, stops the gateway that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="archgw-eval-", dir="/tmp") as scratch:
        try:
            asyncio.run(_measure(names, Path(scratch)))
        except EvaluationError as error:
            print(f"evaluation: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

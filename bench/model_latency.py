"""The latency of the models called directly in this process, with which the ingress row is compared.

Code and weights are those that Triton serves. The calls are sequential; the gateway calls both models at once.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Final

from bench.report import Models
from controlplane.models.prepare import prepare
from triton_models.embed.encoder import Encoder
from triton_models.guard.detector import Detector

_WARM_UP: Final = 20
_CALLS: Final = 300


def measure(prompt: str) -> Models:
    folders = prepare(("embed", "guard"))
    encoder = Encoder(folders["minilm-intent"])
    detector = Detector.load(folders["minilm-guard"])

    def both() -> None:
        detector.probability(prompt)
        encoder.encode(prompt)

    return Models(
        guard=_median(lambda: detector.probability(prompt)),
        embed=_median(lambda: encoder.encode(prompt)),
        both=_median(both),
    )


def _median(call: Callable[[], object]) -> float:
    """Returns the median milliseconds of one call."""
    for _ in range(_WARM_UP):
        call()
    times = []
    for _ in range(_CALLS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000

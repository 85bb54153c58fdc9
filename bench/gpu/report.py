"""Compares outputs and formats the measurements as Markdown. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

# Tolerances for FP16 and another order of summation: far below the effect of int8, and of any threshold.
MIN_COSINE: Final = 0.999
MAX_DIFFERENCE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Cell:
    """One load. `times`: seconds of each of the sequential requests with `batch` texts."""

    tokens: int
    batch: int
    times: Sequence[float]

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.times) * 1000

    @property
    def per_second(self) -> float:
        """Texts per second."""
        return self.batch * len(self.times) / sum(self.times)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of a role's outputs from those of the CPU. `fault`: the reason if it is too large."""

    role: str
    figure: str
    fault: str | None = None


def compared_embeddings(found: FloatArray, reference: FloatArray) -> Comparison:
    """Compares unit vectors [texts, width]."""
    least = float((found * reference).sum(axis=1).min())
    figure = f"least cosine {least:.6f} over {len(found)} texts (at least {MIN_COSINE})"
    return Comparison("embed", figure, None if least >= MIN_COSINE else "the embeddings differ")


def compared_probabilities(found: FloatArray, reference: FloatArray) -> Comparison:
    """Compares probabilities [texts, 1]."""
    most = float(np.abs(found - reference).max())
    figure = f"largest difference {most:.6f} over {len(found)} texts (at most {MAX_DIFFERENCE})"
    return Comparison("guard", figure, None if most <= MAX_DIFFERENCE else "the probabilities differ")


def table(models: Mapping[str, str], cells: Mapping[str, Sequence[Cell]]) -> list[str]:
    """Returns the table of latency and throughput. `models`: model and device of each role."""
    batches = list(dict.fromkeys(cell.batch for found in cells.values() for cell in found))
    heads = [f"batch {batch}: p50 ms, texts/s" for batch in batches]
    lines = [_line(["role", "model", "tokens", *heads]), _line(["---", "---", *["---:"] * (len(batches) + 1)])]
    for role, found in cells.items():
        for tokens in dict.fromkeys(cell.tokens for cell in found):
            by_batch = {cell.batch: cell for cell in found if cell.tokens == tokens}
            row = [f"{by_batch[batch].p50_ms:.2f}, {by_batch[batch].per_second:,.0f}" for batch in batches]
            lines.append(_line([role, models[role], str(tokens), *row]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""The attack probability of a text from those of its chunks. Pure. Used by evaluator.py, evaluation and training."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

# Chosen so that long harmless texts are flagged no more often than short ones, see docs/quality.md.
_LENGTH_DOUBT: Final = 0.6
_MOST_LOG_ODDS: Final = 30.0


def text_probability(of_chunks: Iterable[float], chunks: int) -> float:
    """Returns the probability of a text. `of_chunks`: those of the chunks that were read. `chunks`: how many it has."""
    if chunks <= 1:
        return max(of_chunks, default=0.0)
    log_odds = text_log_odds(map(_log_odds, of_chunks), chunks)
    return 0.0 if log_odds is None else 1 / (1 + math.exp(-log_odds))


def text_log_odds(of_chunks: Iterable[float], chunks: int) -> float | None:
    """Returns the log-odds of a text; None without chunks.

    The highest of many chunks is high by chance. So log-odds count in full if all chunks of a text have them, and the
    less, the fewer of its chunks do.
    """
    return max(
        (
            each - _LENGTH_DOUBT * math.log(chunks / count)
            for count, each in enumerate(sorted(of_chunks, reverse=True), start=1)
            if count <= chunks
        ),
        default=None,
    )


def _log_odds(probability: float) -> float:
    if not 0 < probability < 1:
        return _MOST_LOG_ODDS if probability else -_MOST_LOG_ODDS
    return math.log(probability / (1 - probability))

"""The area under the ROC curve. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Returns the probability that a positive scores above a negative; ties count half."""
    difference = np.asarray(positive)[:, None] - np.asarray(negative)[None, :]
    return float((difference > 0).mean() + 0.5 * (difference == 0).mean())

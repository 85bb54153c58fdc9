import json
from pathlib import Path

import numpy as np
import pytest

from controlplane.assets import asset
from triton_models.guard.head import CLIP, Head, load_head


def test_probability_is_half_on_the_boundary_and_never_overflows() -> None:
    zero = np.zeros(384, dtype=np.float32)
    assert Head(zero, 1.0, 0.0).probability(zero, 0.0) == 0.5
    assert Head(zero, 1.0, 5000.0).probability(zero, 0.0) == 1.0
    assert Head(zero, 1.0, -5000.0).probability(zero, 0.0) == 0.0


def test_a_saturated_logit_is_clipped() -> None:
    zero = np.zeros(384, dtype=np.float32)
    head = Head(zero, 2.0, 0.0)
    assert head.probability(zero, 1e9) == head.probability(zero, CLIP)


def test_the_trained_head_is_whole() -> None:
    head = load_head(asset("triton_models") / "guard" / "head.json")
    assert head.logit_weight > 0


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    path.write_text(json.dumps({"weights": [1.0], "logit_weight": 1.0, "bias": 0.0}))
    with pytest.raises(ValueError, match="not 384"):
        load_head(path)

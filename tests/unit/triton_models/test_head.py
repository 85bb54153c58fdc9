import json
from pathlib import Path

import numpy as np
import pytest

from controlplane.assets import asset
from triton_models.guard.classifier import Judgement
from triton_models.guard.head import Head, Linear, Pooling, load_head, packed, unpacked

PATH = asset("triton_models") / "guard" / "head.json"


def test_probability_is_half_on_the_threshold_and_never_overflows() -> None:
    head = Head((), 0.0, 1.5)
    assert head.probability(1.5) == 0.5
    assert head.probability(5000.0) == 1.0
    assert head.probability(-5000.0) == 0.0


def test_matching_token_outweighs_many_others() -> None:
    # The first state is what the query looks for, the second is harmless.
    identity = Linear(np.eye(2, dtype=np.float32), np.zeros(2, dtype=np.float32))
    query = Linear(np.array([[20.0], [0.0]], dtype=np.float32), np.zeros(1, dtype=np.float32))
    pooling = Pooling(identity, query, np.ones(2, dtype=np.float32), np.zeros(2, dtype=np.float32))
    harmless, attack = np.array([0.0, 1.0], dtype=np.float32), np.array([1.0, 0.0], dtype=np.float32)
    alone = pooling(attack[None])
    np.testing.assert_allclose(pooling(np.stack([*[harmless] * 100, attack])), alone, atol=1e-3)
    assert not np.allclose(pooling(harmless[None]), alone, atol=0.1)


def test_the_order_of_tokens_does_not_matter_to_pooling() -> None:
    member = load_head(PATH).members[0]
    hidden = np.random.default_rng(0).normal(size=(20, 384)).astype(np.float32)
    np.testing.assert_allclose(member.embed(hidden), member.embed(hidden[::-1]), rtol=1e-3, atol=1e-3)


def test_a_saturated_logit_is_clipped() -> None:
    head = load_head(PATH)
    draw = np.random.default_rng(0)
    embedding, hidden, pooled, judged = (
        draw.normal(size=shape).astype(np.float32) for shape in ((384,), (9, 384), (512,), (12, 512))
    )
    _, gathered = head.first(embedding, hidden)
    at_clip, beyond = (head.score(embedding, gathered, Judgement(logit, pooled, judged)) for logit in (20.0, 1e9))
    assert at_clip == beyond


def test_trained_head_is_small() -> None:
    assert PATH.stat().st_size < 2_000_000
    head = load_head(PATH)
    assert head.members
    assert np.isfinite(head.threshold)


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_packed_tensors_round_trip(shape: tuple[int, ...]) -> None:
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    np.testing.assert_array_equal(unpacked(json.loads(json.dumps(packed(values)))), values)


def test_a_head_of_another_width_is_refused(tmp_path: Path) -> None:
    document = json.loads(PATH.read_text())
    document["members"][0]["embed.project.weight"] = packed(np.zeros((7, 48), dtype=np.float32))
    path = tmp_path / "head.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="width"):
        load_head(path)


def test_a_head_without_members_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "head.json"
    path.write_text(json.dumps({"members": [], "skip": 0, "threshold": 0}))
    with pytest.raises(ValueError, match="no members"):
        load_head(path)

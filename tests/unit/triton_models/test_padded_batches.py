"""Batches of texts for a GPU."""

import numpy as np
import pytest

from triton_models.padded_batches import batches, padded


@pytest.mark.parametrize("lengths", [[], [5], [3, 100, 4, 99, 5], [50] * 7, [1000, 1]])
def test_every_text_is_in_one_batch(lengths: list[int]) -> None:
    places = [place for batch in batches(lengths, 200) for place in batch]
    assert sorted(places) == list(range(len(lengths)))


def test_padded_batch_exceeds_the_limit_only_for_a_single_text() -> None:
    lengths = [3, 100, 4, 99, 5, 250]
    for batch in batches(lengths, 200):
        assert len(batch) == 1 or len(batch) * max(lengths[place] for place in batch) <= 200


def test_similar_lengths_share_a_batch() -> None:
    assert list(batches([3, 100, 4, 99], 200)) == [[0, 2], [3, 1]]


def test_mask_excludes_padding() -> None:
    ids, mask = padded([[7, 8, 9], [5]], pad=1)
    np.testing.assert_array_equal(ids, [[7, 8, 9], [5, 1, 1]])
    np.testing.assert_array_equal(mask, [[1, 1, 1], [1, 0, 0]])
    assert ids.dtype == mask.dtype == np.int64

"""Normalization of letters and invisible characters."""

from __future__ import annotations

from string import ascii_letters

from hypothesis import given
from hypothesis import strategies as st

from extproc.pipeline.guard.unicode_normalization import normalize


@given(
    st.text(ascii_letters + " ", max_size=200), st.sampled_from("\u200b\u200d\u00ad\u2060\ufe0f\u202e\U000e0061\x00")
)
def test_invisible_characters_are_removed(text: str, char: str) -> None:
    assert normalize(char.join(text)) == normalize(text)

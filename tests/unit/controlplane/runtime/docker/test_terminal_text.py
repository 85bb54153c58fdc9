"""Text that is safe for a terminal."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controlplane.runtime.docker.terminal_text import printable


@given(st.text())
def test_result_is_printable_and_does_not_change_again(text: str) -> None:
    shown = printable(text)
    assert not shown or shown.isprintable()
    assert printable(shown) == shown


@given(st.text(alphabet=st.characters(categories=("L", "N", "P"))))
def test_keeps_letters_numbers_and_punctuation(text: str) -> None:
    assert printable(text) == text

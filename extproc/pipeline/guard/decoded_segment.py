"""The result type of all decoders. Used by encodings.py, ciphers.py, leetspeak.py and word_spacing.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DecodedSegment:
    """The decoded `text` of the characters from `start` to `end` of the input."""

    start: int
    end: int
    text: str


# Returns the segments that it decodes, in the order of the text and without overlap.
Decoder = Callable[[str], Sequence[DecodedSegment]]

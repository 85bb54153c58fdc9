"""Restores words from separated letters and from text without spaces. Used by decoded_variants.py."""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from extproc.pipeline.guard.decoded_segment import DecodedSegment
from extproc.pipeline.guard.english_words import is_word, segment

_SEPARATED_LETTERS: Final = re.compile(r"[^\W_](?<![^\W_].)(?:[\W_]{1,4}[^\W_](?![^\W_])){4,}", re.DOTALL)


def decode_separated_letters(text: str) -> list[DecodedSegment]:
    """Joins separated letters: "i g n o r e", "i.g.n.o.r.e". A wider gap than usual starts a new word."""
    segments: list[DecodedSegment] = []
    for run in _SEPARATED_LETTERS.finditer(text):
        letters, gaps = run.group()[0], []
        pieces = re.findall(r"([\W_]+)([^\W_])", run.group())
        usual = Counter(len(gap) for gap, _ in pieces).most_common(1)[0][0]
        for gap, letter in pieces:
            if len(gap) > usual or (gap.isspace() != pieces[0][0].isspace()):
                gaps.append(len(letters))
            letters += letter
        words = [letters[start:end] for start, end in zip([0, *gaps], [*gaps, len(letters)], strict=True)]
        joined = " ".join(word if is_word(word) else " ".join(segment(word)) for word in words)
        if _is_mostly_words(joined):
            segments.append(DecodedSegment(*run.span(), joined))
    return segments


_LONG_RUN: Final = re.compile(r"[A-Za-z](?<![A-Za-z].)[A-Za-z]{15,}")


def decode_missing_spaces(text: str) -> list[DecodedSegment]:
    """Separates three words or more that have no spaces between them."""
    segments: list[DecodedSegment] = []
    for run in _LONG_RUN.finditer(text):
        if is_word(run.group()):
            continue
        words = segment(run.group())
        if sum(len(word) >= 3 for word in words) >= 3 and all(map(is_word, words)):
            segments.append(DecodedSegment(*run.span(), " ".join(words)))
    return segments


def _is_mostly_words(text: str) -> bool:
    """Returns whether most letters are in words of three letters or more. Shorter words prove nothing."""
    words = text.split()
    long = sum(len(word) for word in words if len(word) >= 3 and is_word(word))
    return long >= 0.6 * sum(map(len, words)) and long >= 5

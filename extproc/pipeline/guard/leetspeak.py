"""Decodes leetspeak: words with digits and signs for letters. Used by decoded_variants.py.

A word counts as decoded only if the result is an English word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

from extproc.pipeline.guard.decoded_segment import DecodedSegment
from extproc.pipeline.guard.english_words import is_word

_LETTERS: Final = {
    "0": "o",
    "1": "il",
    "2": "z",
    "3": "e",
    "4": "a",
    "5": "s",
    "6": "g",
    "7": "t",
    "8": "b",
    "9": "g",
    "@": "a",
    "$": "s",
    "!": "il",
    "|": "il",
    "+": "t",
    "€": "e",
    "£": "l",
    "¥": "y",
    "¢": "c",
}
_SIGNS: Final = "0-9@$!|+€£¥¢"
_TOKEN: Final = re.compile(f"[A-Za-z{_SIGNS}]+")
# A letter next to a digit or sign. Most texts have few of these, so the search starts there.
_BORDER: Final = re.compile(f"[A-Za-z][{_SIGNS}]|[{_SIGNS}][A-Za-z]")
_ORDINAL: Final = re.compile(r"[0-9]*(?:1st|2nd|3rd|[0-9]th)|[0-9]+s")
_NUMBER: Final = re.compile(r"(?<![\w.,:/$€£-])[0-9]{1,4}(?![\w:/%]|[.,-][0-9])")
# Minimum letters of all decoded words together. Words of one or two letters do not count.
_LEAST_LETTERS: Final = 7
# If at least this many words are decoded, numbers are decoded too.
_LEAST_WORDS: Final = 3
# Maximum spellings that are tried for one word.
_MAX_SPELLINGS: Final = 64
_LONGEST_WORD: Final = 24


def decode_leetspeak(text: str) -> list[DecodedSegment]:
    """Decodes leetspeak words if together they have at least seven letters: two words, or one long word."""
    segments: list[DecodedSegment] = []
    letters = end = 0
    for border in _BORDER.finditer(text):
        if border.end() <= end:
            continue
        start = max(end, border.start() - _LONGEST_WORD)
        before = _TOKEN.match(text[start : border.end()][::-1])
        token = _TOKEN.match(text, border.end() - (before.end() if before else 0))
        if token is None:
            continue
        end = token.end()
        word = token.group().rstrip("!")
        if word.isalpha() or _ORDINAL.fullmatch(word):
            continue
        plain = _decode_word(word)
        if plain is not None:
            segments.append(DecodedSegment(token.start(), token.start() + len(word), plain))
            letters += len(plain) if len(plain) > 2 else 0
    if letters < _LEAST_LETTERS:
        return []
    # Between leetspeak words, a short number is a word too: "1gn0r3 175 ru135".
    numbers = _decode_numbers(text, segments) if len(segments) >= _LEAST_WORDS else []
    return sorted([*segments, *numbers], key=lambda segment: segment.start)


def _decode_numbers(text: str, words: Sequence[DecodedSegment]) -> Iterator[DecodedSegment]:
    taken = {position for word in words for position in range(word.start, word.end)}
    for number in _NUMBER.finditer(text):
        plain = None if number.start() in taken else _decode_word(number.group())
        if plain is not None:
            yield DecodedSegment(number.start(), number.end(), plain)


def _decode_word(word: str) -> str | None:
    """Returns the first spelling that is an English word."""
    choices = [_LETTERS.get(char, char) for char in word.lower()]
    for count, spelling in enumerate(product(*choices)):
        plain = "".join(spelling)
        if is_word(plain):
            return plain
        if count >= _MAX_SPELLINGS:
            break
    return None

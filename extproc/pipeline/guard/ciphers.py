"""Decodes substitution ciphers (Caesar, rot13, Atbash) and text that is written backwards. Used by decoded_variants.py.

A cipher is recognized by words that are English only after decoding.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from string import ascii_lowercase, ascii_uppercase
from typing import Final

from extproc.pipeline.guard.decoded_segment import DecodedSegment
from extproc.pipeline.guard.english_words import LETTER_RUN, WORDS, is_word

_BACKWARDS: Final = "backwards"


def _shifted(by: int) -> str:
    return ascii_lowercase[by:] + ascii_lowercase[:by]


def _table(plain: str) -> dict[int, str]:
    """Maps the alphabet to `plain`, in both cases."""
    return {
        ord(char): letter
        for letters in ((ascii_lowercase, plain), (ascii_uppercase, plain.upper()))
        for char, letter in zip(*letters, strict=True)
    }


# All shifts (rot13 is the common one), and Atbash, the reversed alphabet.
_ALPHABETS: Final = {**{str(by): _table(_shifted(by)) for by in range(1, 26)}, "atbash": _table(ascii_lowercase[::-1])}

# Frequent words that identify a cipher. Of the words with three letters, only the most frequent ones.
_TELLTALE: Final = frozenset(
    (*(word for word in WORDS[:12_000] if len(word) > 3), *(word for word in WORDS[:200] if len(word) == 3))
)


def _shape(word: str) -> bytes:
    """Returns the distances from letter to letter, modulo 26. They are the same for every shift."""
    codes = word.encode()
    return bytes((after - before) % 26 for before, after in pairwise(codes))


_SHAPES: Final = {_shape(word): word[0] for word in reversed(WORDS[:12_000]) if word in _TELLTALE}

# Three different telltale words of one cipher near each other are no coincidence. Unknown words between and next to
# them belong to the cipher.
_LEAST_TELLTALES: Final = 3
# Words.
_MAX_DISTANCE: Final = 10


@dataclass(frozen=True, slots=True)
class _Stretch:
    cipher: str
    start: int
    end: int


@dataclass(slots=True)
class _Group:
    """Telltale words of one cipher near each other, with the word indices of the first and the last."""

    first: int
    last: int
    words: set[str] = field(default_factory=set)


def decode_ciphers(text: str) -> list[DecodedSegment]:
    """Decodes stretches of enciphered or reversed words."""
    segments: list[DecodedSegment] = []
    for stretch in _stretches(text):
        if segments and stretch.start < segments[-1].end:
            continue
        coded = text[stretch.start : stretch.end]
        if stretch.cipher == _BACKWARDS:
            # Either the whole stretch is reversed or each word by itself. Try both.
            plain = f"{coded[::-1]}\n{LETTER_RUN.sub(lambda word: word.group()[::-1], coded)}"
        else:
            plain = coded.translate(_ALPHABETS[stretch.cipher])
        segments.append(DecodedSegment(stretch.start, stretch.end, plain))
    return segments


def _stretches(text: str) -> list[_Stretch]:
    """Returns the stretches from the first to the last telltale word, with unknown words around, sorted by start."""
    words = [word.lower() for word in LETTER_RUN.findall(text)]
    groups: dict[str, _Group] = {}
    finished: list[tuple[str, int, int]] = []
    for index, word in enumerate(words):
        for cipher in () if len(word) < 3 or is_word(word) else _ciphers_of(word):
            group = groups.get(cipher)
            if group is None or index - group.last > _MAX_DISTANCE:
                if group is not None and len(group.words) >= _LEAST_TELLTALES:
                    finished.append((cipher, group.first, group.last))
                group = groups[cipher] = _Group(index, index)
            group.last = index
            group.words.add(word)
    finished += [
        (cipher, group.first, group.last) for cipher, group in groups.items() if len(group.words) >= _LEAST_TELLTALES
    ]
    if not finished:
        return []
    spans = [word.span() for word in LETTER_RUN.finditer(text)]
    stretches = []
    for cipher, first, previous in finished:
        start, end = first, previous
        while first - start < _MAX_DISTANCE and start > 0 and _may_belong(words[start - 1], cipher):
            start -= 1
        while end - previous < _MAX_DISTANCE and end + 1 < len(words) and _may_belong(words[end + 1], cipher):
            end += 1
        stretches.append(_Stretch(cipher, spans[start][0], spans[end][1]))
    return sorted(stretches, key=lambda stretch: (stretch.start, -stretch.end))


def _ciphers_of(word: str) -> list[str]:
    """Returns the ciphers that turn `word` into a telltale word."""
    ciphers = [_BACKWARDS] if word[::-1] in _TELLTALE else []
    if first := _SHAPES.get(_shape(word)):
        ciphers.append(str((ord(first) - ord(word[0])) % 26))
    if word.translate(_ALPHABETS["atbash"]) in _TELLTALE:
        ciphers.append("atbash")
    return ciphers


def _may_belong(word: str, cipher: str) -> bool:
    """Returns whether `word` is not English, or is English both before and after decoding."""
    return not is_word(word) or is_word(word[::-1] if cipher == _BACKWARDS else word.translate(_ALPHABETS[cipher]))

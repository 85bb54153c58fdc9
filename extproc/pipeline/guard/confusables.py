"""Replaces letters that look like ASCII letters: homoglyphs, and Latin letters with strokes or hooks.

Used by unicode_normalization.py. Words of other scripts keep their letters.
"""

from __future__ import annotations

import re
import unicodedata
from importlib.resources import files
from typing import Final


def _read_confusables() -> dict[int, str]:
    """Returns the ASCII letter for each letter of another script that is drawn like it.

    Source: Unicode's confusables (UTS #39, version 15.1). NFKC already folds the ones that the file leaves out. Small
    capitals are added.
    """
    lines = files("extproc.pipeline.guard").joinpath("confusables.txt").read_text(encoding="utf-8").splitlines()
    return {ord(char): line[0] for line in lines for char in line[2:]}


def _latin_base_letters() -> dict[int, str]:
    """Returns the ASCII base letter of Latin letters with strokes, hooks and the like, by their Unicode names."""
    name = re.compile(
        r"(?:LATIN (?P<case>SMALL|CAPITAL) LETTER (?P<a>[A-Z])(?: WITH .*)?"
        r"|LATIN LETTER SMALL CAPITAL (?P<b>[A-Z])"
        r"|(?:NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER|REGIONAL INDICATOR SYMBOL LETTER) (?P<c>[A-Z]))"
    )
    table: dict[int, str] = {}
    for code in (*range(0xC0, 0x2B0), *range(0x1D00, 0x1F00), *range(0x2C60, 0x2C80), *range(0x1F100, 0x1F200)):
        match = name.fullmatch(unicodedata.name(chr(code), ""))
        if match:
            letter = match["a"] or match["b"] or match["c"]
            table[code] = letter if match["case"] == "CAPITAL" else letter.lower()
    return table


LATIN_BASE: Final = _latin_base_letters()
_CONFUSABLES: Final = {code: letter for code, letter in _read_confusables().items() if code not in LATIN_BASE}
# Pairs of a letter and the ASCII letter that it resembles roughly. They count only in words with ASCII letters.
_ROUGH_PAIRS: Final = (
    "кk вb мm тt нh гr иn йn пn лn шw щw яr ьb эe дd зe чy ηn κk τt εe ωw βb μu ςc θo λl δd πn χx φo σo"  # noqa: RUF001
)
_IN_MIXED_WORDS: Final = _CONFUSABLES | {
    ord(pair[0]): pair[1]
    for pair in (*_ROUGH_PAIRS.split(), *_ROUGH_PAIRS.upper().split())
    if ord(pair[0]) not in _CONFUSABLES
}
CONFUSABLE_CHARS: Final = frozenset(map(chr, _CONFUSABLES))
LATIN_CHARS: Final = frozenset(map(chr, LATIN_BASE))
# A word with a letter outside ASCII.
_WORD: Final = re.compile(r"[^\W\d_](?<![^\W\d_].)(?:(?<![A-Za-z])|[A-Za-z]*+[^\W\d_A-Za-z])[^\W\d_]*+")
# The characters between two adjacent words.
_GAP: Final = re.compile(r"[\W\d_]*")


# A run of this many words that consist of look-alikes only is not another language by coincidence.
_LONG_RUN: Final = 4


def fold_confusables(text: str) -> str:
    """Replaces look-alike letters by ASCII letters: in words that also have ASCII letters, and in look-alike words.

    A look-alike word consists of look-alikes only. A short run of such words stays unchanged next to a word of another
    script: it may be Greek or Russian.
    """
    words = [(word.start(), word.end(), word.group()) for word in _WORD.finditer(text)]
    pieces: list[str] = []
    copied = index = 0
    while index < len(words):
        # `end`: the end of the run of adjacent words that consist of look-alikes only.
        end = index
        while end < len(words) and _is_confusable(words[end][2]) and (end == index or _are_adjacent(text, words, end)):
            end += 1
        is_foreign = 0 < end - index < _LONG_RUN and (
            (index > 0 and _are_adjacent(text, words, index) and _is_other_script(words[index - 1][2]))
            or (end < len(words) and _are_adjacent(text, words, end) and _is_other_script(words[end][2]))
        )
        for start, stop, word in words[index : max(end, index + 1)]:
            if not is_foreign and (folded := _fold_word(word)) != word:
                pieces += (text[copied:start], folded)
                copied = stop
        index = max(end, index + 1)
    return "".join((*pieces, text[copied:]))


def _are_adjacent(text: str, words: list[tuple[int, int, str]], index: int) -> bool:
    """Returns whether no other word is between the word at `index` and the one before it."""
    return _GAP.fullmatch(text, words[index - 1][1], words[index][0]) is not None


def _fold_word(word: str) -> str:
    """Returns the word in ASCII letters. A word of another script is returned unchanged."""
    folded = word.translate(_CONFUSABLES)
    if folded.isascii():
        return folded
    return word.translate(_IN_MIXED_WORDS) if any(char.isascii() for char in word) else word


def _is_other_script(word: str) -> bool:
    return not any(char.isascii() for char in word) and not _is_confusable(word)


def _is_confusable(word: str) -> bool:
    return all(ord(char) in _CONFUSABLES for char in word)

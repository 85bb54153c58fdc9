"""A text as a reader sees it: one spelling for every way in which Unicode and escapes can write the same letters.

Nothing here guesses. Honest texts in other languages keep their letters; only Latin ones lose their accents, which the
guard's models do not read anyway. Used by readings.py.
"""

from __future__ import annotations

import html
import re
import sys
import unicodedata
from collections.abc import Iterable
from importlib.resources import files
from typing import Final


def _characters(*categories: str) -> frozenset[str]:
    """All that are of these general categories; beyond plane 1 are letters and what is listed by hand."""
    return frozenset(char for char in map(chr, range(0x20000)) if unicodedata.category(char) in categories)


def _any_of(chars: Iterable[str]) -> str:
    """A regular expression's set."""
    return f"[{''.join(map(re.escape, sorted(chars)))}]"


_SPACE: Final = frozenset("\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f\x85")
_MARKS: Final = _characters("Mn", "Me")
# Drawn as nothing: controls, also zero-width and bidi ones, fillers, variation selectors, tags. Unicode calls most of
# them Default_Ignorable_Code_Point, which Python's tables do not have.
_INVISIBLE: Final = (
    _characters("Cc", "Cf").difference(_SPACE)
    | frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
    | frozenset(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0000, 0xE1000))))
)
_SURROGATES: Final = frozenset(map(chr, range(0xD800, 0xE000)))
# Only what is to be changed, which in most texts is little.
_SPACES: Final = re.compile("[^\\S\n ](?:[^\\S\n]|\u2800)*| (?:[^\\S\n]|\u2800)+|\u2800(?:[^\\S\n]|\u2800)*")
_LINES: Final = re.compile(r"(?: \n|\n[ \n])[ \n]*")

_TAGS: Final = re.compile("[\U000e0020-\U000e007e]+")
_SELECTORS: Final = re.compile("[\ufe00-\ufe0f\U000e0100-\U000e01ef]{4,}")
_BITS: Final = re.compile("[\u200b\u200c\u200d\u2060\u2061\u2062\u2063\u2064\ufeff]{24,}")


def _look_alikes() -> dict[int, str]:
    """Each letter that is drawn like an ASCII letter.

    From Unicode's confusables (UTS #39, version 15.1): those that NFKC leaves alone, and small capitals.
    """
    lines = files("extproc.pipeline.guard").joinpath("lookalikes.txt").read_text(encoding="utf-8").splitlines()
    return {ord(char): line[0] for line in lines for char in line[2:]}


def _latin() -> dict[int, str]:
    """Letters of the Latin script whose name says of which ASCII letter they are a form: with stroke, small capital."""
    name = re.compile(
        r"(?:LATIN (?P<case>SMALL|CAPITAL) LETTER (?P<a>[A-Z])(?: WITH .*)?"
        r"|LATIN LETTER SMALL CAPITAL (?P<b>[A-Z])"
        r"|(?:NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL LETTER|REGIONAL INDICATOR SYMBOL LETTER) (?P<c>[A-Z]))"
    )
    table: dict[int, str] = {}
    for code in (*range(0xC0, 0x2B0), *range(0x1D00, 0x1F00), *range(0x2C60, 0x2C80), *range(0x1F100, 0x1F200)):
        found = name.fullmatch(unicodedata.name(chr(code), ""))
        if found:
            letter = found["a"] or found["b"] or found["c"]
            table[code] = letter if found["case"] == "CAPITAL" else letter.lower()
    return table


_LATIN: Final = _latin()
_ALIKE: Final = {code: letter for code, letter in _look_alikes().items() if code not in _LATIN}
# Drawn roughly so: each letter, then what it is taken for. Enough only inside a word that has Latin letters too.
_ROUGH: Final = "кk вb мm тt нh гr иn йn пn лn шw щw яr ьb эe дd зe чy ηn κk τt εe ωw βb μu ςc θo λl δd πn χx φo σo"  # noqa: RUF001
_ROUGHLY: Final = _ALIKE | {
    ord(pair[0]): pair[1] for pair in (*_ROUGH.split(), *_ROUGH.upper().split()) if ord(pair[0]) not in _ALIKE
}
_ALIKE_ANY: Final = frozenset(map(chr, _ALIKE))
_LATIN_ANY: Final = frozenset(map(chr, _LATIN))
# Words with a letter beyond ASCII, and what may stand between two words.
_FOREIGN_WORD: Final = re.compile(r"[^\W\d_](?<![^\W\d_].)(?:(?<![A-Za-z])|[A-Za-z]*+[^\W\d_A-Za-z])[^\W\d_]*+")
_NO_WORD: Final = re.compile(r"[\W\d_]*")

_PERCENT: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_PERCENT_NESTED: Final = re.compile(r"%(?:25)+(?=[0-9A-Fa-f]{2})")
_AMP_NESTED: Final = re.compile(r"&(?:amp;)+", re.IGNORECASE)
_HUGE_REFERENCE: Final = re.compile(r"&#[0-9]{9,};?")
_CODE_POINT: Final = re.compile(
    r"\\u\{?([0-9A-Fa-f]{4,6})\}|\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\x\{?([0-9A-Fa-f]{2})\}?"
    r"|\bU\+([0-9A-Fa-f]{4,6})\b[ ,]?"
)
_OCTAL: Final = re.compile(r"(?:\\[0-3]?[0-7]{2}){4,}")

# How often a text may be escaped within itself; no model reads deeper.
_ROUNDS: Final = 8


def visible(text: str) -> str:
    """`text` without what is invisible, every letter in its plain form, escapes resolved. White space stays as it is.

    Never raises; of a lone surrogate the replacement character remains.
    """
    text = _unicode(text)
    for _ in range(_ROUNDS):
        unescaped = _unescape(text)
        if unescaped == text:
            break
        text = _unicode(unescaped)
    return text


def spaced(text: str) -> str:
    """Every run of white space as one space, or one line break where it holds one."""
    return _LINES.sub("\n", _SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))).strip()


def smuggled(text: str) -> str:
    """What is written in characters that nobody sees and models read: tags, variation selectors, zero-width bits."""
    if text.isascii():
        return ""
    found = ["".join(chr(ord(char) - 0xE0000) for char in run) for run in _TAGS.findall(text)]
    # https://paulbutler.org/2025/smuggling-arbitrary-data-through-an-emoji/
    found += [
        bytes(ord(char) - (0xFE00 if char < "\uffff" else 0xE0100 - 16) for char in run).decode(errors="replace")
        for run in _SELECTORS.findall(text)
    ]
    found += [bits for run in _BITS.findall(text) for bits in _zero_width_bits(run)]
    return "\n".join(found)


def _zero_width_bits(run: str) -> list[str]:
    """A run of two invisible characters, each way round, as bits of ASCII."""
    kinds = sorted(set(run))
    if len(kinds) != 2:
        return []
    readings = []
    for zero, one in (kinds, kinds[::-1]):
        bits = run.replace(zero, "0").replace(one, "1")
        for size in (8, 7):
            text = "".join(chr(int(bits[at : at + size], 2)) for at in range(0, len(bits) - size + 1, size))
            if text.isascii() and text.isprintable():
                readings.append(text)
    return readings


def _unicode(text: str) -> str:
    # Which characters occur says what there is to do, and costs a hundredth of doing it.
    chars = set(text)
    if lone := chars & _SURROGATES:
        text = re.sub(_any_of(lone), "\ufffd", text)
    text = _without(text, chars & _INVISIBLE)
    if text.isascii():
        return text
    if marks := chars & _MARKS:
        # Before normalisation, whose time grows with the square of a stack of marks.
        some = _any_of(marks)
        text = re.sub(f"({some}{some}){some}+", r"\1", text)
    # Which makes letters out of others, and sometimes what is invisible again.
    text = unicodedata.normalize("NFKC", text)
    chars = set(text)
    text = _without(text, chars & _INVISIBLE)
    if not chars.isdisjoint(_LATIN_ANY):
        text = text.translate(_LATIN)
    if marks := chars & _MARKS:
        text = re.sub(f"(?<=[\x01-\x7f]){_any_of(marks)}+", "", text)
    return text if chars.isdisjoint(_ALIKE_ANY) else _fold_words(text)


def _without(text: str, chars: set[str]) -> str:
    return re.sub(f"{_any_of(chars)}+", "", text) if chars else text


def _fold_words(text: str) -> str:
    """Look-alikes as what they look like: in words with Latin letters too, and in words of nothing else, unless a
    neighbour is of another script, as in honest Greek or Russian.
    """
    words = [(found.start(), found.end(), found.group()) for found in _FOREIGN_WORD.finditer(text)]
    pieces: list[str] = []
    at = index = 0
    while index < len(words):
        # The run of words of nothing but look-alikes that stand one behind the other.
        end = index
        while end < len(words) and _only(words[end][2]) and (end == index or _adjacent(text, words, end)):
            end += 1
        honest = 0 < end - index < _LONG_RUN and (
            (index > 0 and _adjacent(text, words, index) and _foreign(words[index - 1][2]))
            or (end < len(words) and _adjacent(text, words, end) and _foreign(words[end][2]))
        )
        for start, stop, word in words[index : max(end, index + 1)]:
            if not honest and (fold := _fold(word)) != word:
                pieces += (text[at:start], fold)
                at = stop
        index = max(end, index + 1)
    return "".join((*pieces, text[at:]))


# So many words in a row by chance are no longer honest text in another script.
_LONG_RUN: Final = 4


def _adjacent(text: str, words: list[tuple[int, int, str]], index: int) -> bool:
    """Whether no other word stands between this one and the one before it."""
    return _NO_WORD.fullmatch(text, words[index - 1][1], words[index][0]) is not None


def _fold(word: str) -> str:
    """The word in ASCII letters, or itself where it is of another script."""
    strict = word.translate(_ALIKE)
    if strict.isascii():
        return strict
    return word.translate(_ROUGHLY) if any(char.isascii() for char in word) else word


def _foreign(word: str) -> bool:
    """Whether the word is of another script, and nothing else."""
    return not any(char.isascii() for char in word) and not _only(word)


def _only(word: str) -> bool:
    return all(ord(char) in _ALIKE for char in word)


def _unescape(text: str) -> str:
    if "%" in text:
        text = _PERCENT.sub(_percent, _PERCENT_NESTED.sub("%", text))
    if "&" in text:
        # Python refuses to read longer numbers, with an exception.
        text = html.unescape(_HUGE_REFERENCE.sub("\ufffd", _AMP_NESTED.sub("&", text)))
    if "\\" in text or "U+" in text:
        text = _OCTAL.sub(_octal, _CODE_POINT.sub(_code_point, text))
    return text


def _percent(found: re.Match[str]) -> str:
    try:
        return bytes.fromhex(found.group().replace("%", "")).decode()
    except UnicodeDecodeError:
        return found.group()


def _code_point(found: re.Match[str]) -> str:
    code = int(next(group for group in found.groups() if group), 16)
    return chr(code) if code <= sys.maxunicode else found.group()


def _octal(found: re.Match[str]) -> str:
    return "".join(chr(int(code, 8)) for code in found.group().split("\\")[1:])

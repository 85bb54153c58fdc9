"""Splits texts into words and compares them: folding, stems, related forms. Pure; English."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# "C#" and "C++" are words, different from "C".
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*(?:#|\+\+)?")
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_QUOTES: Final = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u2212": "-", "\u2013": "-", "\u2014": "-"}
)


def word_set(text: str) -> frozenset[str]:
    """Returns the words of a list written as one string."""
    return frozenset(text.split())


# Words without meaning for a value.
STOP_WORDS: Final = word_set(
    """
    a an the of for to in on at by with and or from as is are be was were it its this that these those there here my
    your our his her their i you we he she they me us them please some any do does did will would can could should
    shall may have has had not no s t
    """
)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text. `raw`: as written; `text`: folded; [start, end): its span in the normalised text."""

    raw: str
    text: str
    start: int
    end: int


def normalize(text: str) -> str:
    """Returns the text in NFKC with ASCII quotes and dashes. Keeps the case."""
    return unicodedata.normalize("NFKC", text).translate(_QUOTES)


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """Removes case and accents: "São" -> "sao", "Straße" -> "strasse"."""
    decomposed = unicodedata.normalize("NFKD", normalize(text).casefold())
    return "".join(each for each in decomposed if not unicodedata.combining(each))


def split_words(text: str) -> list[Word]:
    """Returns the words of `normalize(text)`. A possessive loses its ending."""
    words = []
    for match in _WORD.finditer(normalize(text)):
        folded = fold(match.group())
        if folded.endswith("'s") and folded not in {"it's", "that's", "there's", "he's", "she's", "what's", "let's"}:
            folded = folded[:-2]
        words.append(Word(match.group(), folded, match.start(), match.end()))
    return words


def identifier_words(name: str) -> list[str]:
    """Splits an identifier: `checkInDate` and `check_in_date` give the same words."""
    return [word.text for word in split_words(_CAMEL.sub(" ", name).replace("_", " "))]


_IRREGULAR: Final = {
    "women": "woman",
    "men": "man",
    "children": "child",
    "kids": "child",
    "people": "person",
    "persons": "person",
    "feet": "foot",
    "teeth": "tooth",
    "mice": "mouse",
    "lives": "life",
    "wives": "wife",
    "knives": "knife",
    "leaves": "leaf",
    "halves": "half",
}


@lru_cache(maxsize=8192)
def stem(word: str) -> str:
    """Returns the common part of a word's inflections, at least three letters."""
    word = _IRREGULAR.get(word, word)
    if len(word) < 4 or any(each.isdigit() for each in word):
        return word
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("shes", "sh"), ("ches", "ch"), ("xes", "x"), ("zes", "z")):
        if word.endswith(ending) and len(word) > len(ending) + 2:
            word = word[: -len(ending)] + instead
            break
    else:
        if word.endswith("oes") and len(word) > 5:
            word = word[:-2]
        elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
            word = word[:-1]
    for ending in ("ingly", "edly", "ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    return word[:-1] if word.endswith("e") and len(word) > 3 else word


def same_word(word: str, other: str) -> bool:
    """Returns True for the same word, inflected, or with one typing error in a long word."""
    if word == other or stem(word) == stem(other):
        return True
    if min(len(word), len(other)) < 6 or word[0] != other[0] or not (word.isalpha() and other.isalpha()):
        return False
    return _one_edit(word, other)


_DERIVED: Final = word_set(
    "al ic ical er or ers ist ists y ary ful ment ous ious ation ion ity ness able ible ive an ian ish ance ence ql"
)


def related(word: str, other: str) -> bool:
    """Returns True for words of one family: "music" and "musical". Not for short stems: "port" and "portal".

    Meant for closed sets of words only.
    """
    if same_word(word, other):
        return True
    short, long = sorted((stem(word), stem(other)), key=len)
    if len(short) < 5:
        return False
    same = len(short) if long.startswith(short) else len(short) - 1 if long.startswith(short[:-1]) else 0
    return bool(same) and long[same:] in _DERIVED | {""}


def _one_edit(word: str, other: str) -> bool:
    if len(word) > len(other):
        word, other = other, word
    if len(other) - len(word) > 1:
        return False
    start = 0
    while start < len(word) and word[start] == other[start]:
        start += 1
    if len(word) < len(other):
        return word[start:] == other[start + 1 :]
    rest, rest_other = word[start:], other[start:]
    # Two letters swapped, the most frequent typing error. A replaced letter often makes another word.
    return len(rest) > 1 and rest[0] == rest_other[1] and rest[1] == rest_other[0] and rest[2:] == rest_other[2:]

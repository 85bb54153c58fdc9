"""Finds the members of an enum that a text names. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from extproc.pipeline.functions.grounding import locale_names
from extproc.pipeline.functions.grounding.units import UNIT_SYNONYMS
from extproc.pipeline.functions.grounding.word_forms import (
    STOP_WORDS,
    Word,
    fold,
    identifier_words,
    normalize,
    related,
    stem,
)
from extproc.shared.filter_config import Parameter

# Common short forms and synonyms of enum members.
_SYNONYMS: Final = (
    ("s", "small"),
    ("m", "medium"),
    ("l", "large", "big"),
    ("xl", "extra large"),
    ("xs", "extra small"),
    ("asc", "ascending"),
    ("desc", "descending"),
    ("min", "minimum", "lowest", "smallest", "least"),
    ("max", "maximum", "highest", "largest", "most"),
    ("price asc", "price low to high", "cheapest", "lowest price"),
    ("price desc", "price high to low", "most expensive", "highest price"),
    ("date desc", "newest", "latest", "most recent"),
    ("date asc", "oldest", "earliest"),
    ("male", "man", "boy", "m"),
    ("female", "woman", "girl", "f"),
    ("true", "yes"),
    ("false", "no"),
    ("buy", "purchase"),
    (">", "greater than", "more than", "above", "over"),
    ("<", "less than", "fewer than", "under", "below"),
    (">=", "at least"),
    ("<=", "at most"),
    ("=", "is", "equals", "equal to"),
    ("==", "is", "equals", "equal to"),
    ("!=", "is not", "not equal to"),
    ("mon", "monday"),
    ("tue", "tuesday"),
    ("wed", "wednesday"),
    ("thu", "thursday"),
    ("fri", "friday"),
    ("sat", "saturday"),
    ("sun", "sunday"),
    *UNIT_SYNONYMS,
)


def spellings(member: str, parameter: Parameter) -> list[str]:
    """Returns all spellings of `member`: itself, short and long forms, and its name in the parameter's description."""
    folded = " ".join(identifier_words(member.replace("-", " "))) or fold(member)
    names = [folded]
    for group in _SYNONYMS:
        if folded in group:
            names += [fold(each) for each in group]
    return [*names, *_described(member, parameter.description)]


def _described(member: str, description: str) -> list[str]:
    """Finds names such as "'K' for Kelvin", "K (Kelvin)", "Kelvin (K)", "K: Kelvin", "K = Kelvin"."""
    name = re.escape(member)
    before = rf"(?<!\w)['\"`]?{name}['\"`]?(?!\w)\s*(?:\(|for\s|:|=|means|is\s|-\s)\s*['\"`]?"
    names = []
    for pattern in (
        rf"{before}(?P<other>[A-Za-z][\w -]{{1,30}}?)(?:['\"`,;.()]|$|\sor\s|\sand\s)",
        rf"(?P<other>[A-Za-z][\w-]{{2,30}})\s*\(\s*['\"`]?{name}['\"`]?\s*\)",
    ):
        for match in re.finditer(pattern, normalize(description)):
            other = fold(match["other"]).strip()
            if other and other not in STOP_WORDS:
                names.append(other)
    return names


def phrase_end(phrase: str, words: Sequence[Word], *, single: bool = False) -> int:
    """Returns the index after the last occurrence of `phrase` in the words of a text; -1 if there is none.

    `single`: one small letter counts too.
    """
    phrase_words = phrase.split()
    if not phrase_words:
        return -1
    for start in range(len(words) - len(phrase_words), -1, -1):
        run = words[start : start + len(phrase_words)]
        if all(_is(word, each, single) for word, each in zip(run, phrase_words, strict=True)):
            return start + len(phrase_words)
    return -1


def _is(word: Word, other: str, single: bool) -> bool:
    if len(other) == 1 and not other.isdigit():
        return word.text == other and (single or word.raw.isupper())
    return related(word.text, other)


def named_members(parameter: Parameter, text: str, words: Sequence[Word]) -> dict[str, int]:
    """Returns member -> position of its last mention, for each member that the text names."""
    entities = locale_names.entities_in(text)
    members: dict[str, int] = {}
    for member in map(str, parameter.enum):
        positions = [phrase_end(each, words, single=len(words) <= 3) for each in spellings(member, parameter)]
        if (locale_names.entities_of(member) | locale_names.locale_language(member)) & entities:
            positions.append(0)
        if fold(member) in fold(normalize(text)).split():
            positions.append(len(words))
        position = max(positions)
        if position < 0:
            position = _by_own_word(member, parameter, words)
        if position >= 0:
            members[member] = position
    return members


def _by_own_word(member: str, parameter: Parameter, words: Sequence[Word]) -> int:
    """Returns the position of a word that only this member has: "premium" for premium_economy; -1 if none."""
    member_words = [word for word in identifier_words(member.replace("-", " ")) if word not in STOP_WORDS]
    other_stems = {
        stem(word)
        for other in map(str, parameter.enum)
        if other != member
        for word in identifier_words(other.replace("-", " "))
    }
    own_words = [word for word in member_words if stem(word) not in other_stems and len(word) > 2]
    positions = [index for index, word in enumerate(words) for each in own_words if related(word.text, each)]
    return max(positions) if positions else -1

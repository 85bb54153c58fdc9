"""Which member of an enum a text names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from extproc.pipeline.functions.grounding import locale_names
from extproc.pipeline.functions.grounding.units import SAME
from extproc.pipeline.functions.grounding.word_forms import STOP, Word, fold, kin, name_words, normal, stem
from extproc.shared.filter_config import Parameter

# Short forms in use, and words for the two ends of an order.
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
    *SAME,
)


def spellings(member: str, parameter: Parameter) -> list[str]:
    """Every way to say `member`: itself, short and long forms, and what the parameter's description calls it."""
    folded = " ".join(name_words(member.replace("-", " "))) or fold(member)
    found = [folded]
    for group in _SYNONYMS:
        if folded in group:
            found += [fold(each) for each in group]
    return [*found, *_described(member, parameter.description)]


def _described(member: str, description: str) -> list[str]:
    """ "'K' for Kelvin", "K (Kelvin)", "Kelvin (K)", "K: Kelvin", "K = Kelvin"."""
    name = re.escape(member)
    before = rf"(?<!\w)['\"`]?{name}['\"`]?(?!\w)\s*(?:\(|for\s|:|=|means|is\s|-\s)\s*['\"`]?"
    found = []
    for pattern in (
        rf"{before}(?P<other>[A-Za-z][\w -]{{1,30}}?)(?:['\"`,;.()]|$|\sor\s|\sand\s)",
        rf"(?P<other>[A-Za-z][\w-]{{2,30}})\s*\(\s*['\"`]?{name}['\"`]?\s*\)",
    ):
        for match in re.finditer(pattern, normal(description)):
            other = fold(match["other"]).strip()
            if other and other not in STOP:
                found.append(other)
    return found


def says(phrase: str, spoken: Sequence[Word], *, single: bool = False) -> int:
    """Where the words of `phrase` end in the text, the last time that they stand there in order; -1: they do not.

    `single`: one letter counts even where it is not a capital.
    """
    wanted = phrase.split()
    if not wanted:
        return -1
    for start in range(len(spoken) - len(wanted), -1, -1):
        run = spoken[start : start + len(wanted)]
        if all(_is(word, each, single) for word, each in zip(run, wanted, strict=True)):
            return start + len(wanted)
    return -1


def _is(word: Word, wanted: str, single: bool) -> bool:
    if len(wanted) == 1 and not wanted.isdigit():
        return word.text == wanted and (single or word.raw.isupper())
    return kin(word.text, wanted)


def named(parameter: Parameter, said: str, spoken: Sequence[Word]) -> dict[str, int]:
    """For each member that the text names, where it does so for the last time."""
    meant = locale_names.said(said)
    found: dict[str, int] = {}
    for member in map(str, parameter.enum):
        places = [says(each, spoken, single=len(spoken) <= 3) for each in spellings(member, parameter)]
        if (locale_names.meanings(member) | locale_names.language(member)) & meant:
            places.append(0)
        if fold(member) in fold(normal(said)).split():
            places.append(len(spoken))
        place = max(places)
        if place < 0:
            place = _partly(member, parameter, spoken)
        if place >= 0:
            found[member] = place
    return found


def _partly(member: str, parameter: Parameter, spoken: Sequence[Word]) -> int:
    """Where a word stands that this member alone of all has: "premium" for premium_economy."""
    mine = [word for word in name_words(member.replace("-", " ")) if word not in STOP]
    others = {
        stem(word)
        for other in map(str, parameter.enum)
        if other != member
        for word in name_words(other.replace("-", " "))
    }
    own = [word for word in mine if stem(word) not in others and len(word) > 2]
    places = [index for index, word in enumerate(spoken) for each in own if kin(word.text, each)]
    return max(places) if places else -1

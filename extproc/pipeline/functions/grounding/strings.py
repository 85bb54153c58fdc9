"""Scores how much of a free text value the user's text contains. Pure; used by scoring.py."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from extproc.pipeline.functions.grounding import locale_names
from extproc.pipeline.functions.grounding.word_forms import (
    STOP_WORDS,
    Word,
    fold,
    identifier_words,
    normalize,
    same_word,
    split_words,
    word_set,
)

# Parts of the names of companies, places and persons that count little.
_TITLES: Final = word_set(
    """
    inc incorporated corp corporation co company ltd limited llc plc gmbh ag sa group holdings city county state
    province republic mr mrs ms dr prof sir
    """
)
_REGIONS: Final = frozenset({"countries", "states"})
_LINK: Final = re.compile(r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$|^\w+://\S+$|^www\.\S+$")
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")


def word_coverage(value: str, text: str, words: Sequence[Word], numbers: frozenset[float]) -> float:
    """Returns the share of the value's words that the text contains, 0 to 1. Links and ids must match as a whole."""
    value = normalize(value).strip()
    if _LINK.match(value):
        return float(_links(value) in _links(text))
    value_words = _value_words(value)
    if not value_words or _UNSPACED.search(value):
        return float(value != "" and value.casefold() in normalize(text).casefold())
    if (locale_names.entities_of(value) | locale_names.locale_language(value)) & locale_names.entities_in(text):
        return 1.0
    if _joined(value_words, words) or _initials(value_words, words) or _spelled_out(value, words):
        return 1.0
    return _covered(value_words, value, text, words, numbers)


def _links(text: str) -> str:
    return re.sub(r"(\w+://|www\.)|/(?=\s|$)", "", normalize(text).casefold())


def _value_words(value: str) -> list[Word]:
    if re.fullmatch(r"[\w-]+", value) and not re.search(r"\d", value):
        return [Word(word, fold(word), 0, 0) for word in identifier_words(value.replace("-", " "))]
    return split_words(value)


def _joined(value_words: Sequence[Word], words: Sequence[Word]) -> bool:
    """Returns True if consecutive words without spaces are the value without spaces: "AB-1207 X" and "ab1207x"."""
    compact = "".join(word.text for word in value_words)
    for start in range(len(words)):
        rest = compact
        for word in words[start:]:
            if not rest.startswith(word.text):
                break
            rest = rest[len(word.text) :]
            if not rest:
                return True
    return False


def _initials(value_words: Sequence[Word], words: Sequence[Word]) -> bool:
    """Returns True if the text has "NYC" for the value "New York City"."""
    letters = "".join(word.text[0] for word in value_words if word.text not in STOP_WORDS)
    return len(letters) >= 2 and any(
        word.text == letters
        and (word.raw.isupper() or len(letters) > 3 or (len(letters) == 3 and word.text not in STOP_WORDS))
        for word in words
    )


def _spelled_out(value: str, words: Sequence[Word]) -> bool:
    """Returns True if the text has "New York City" for the value "NYC"."""
    letters = value.replace(".", "")
    if not (2 <= len(letters) <= 6 and letters.isalpha() and letters.isupper()):
        return False
    firsts = [word for word in words if word.text not in STOP_WORDS]
    for source in (words, firsts):
        initials = "".join(word.text[0] for word in source)
        start = initials.find(letters.lower())
        while start >= 0:
            run = source[start : start + len(letters)]
            # Up to three initials can match by chance: the words must have capitals, as names do.
            if len(letters) > 3 or all(word.raw[0].isupper() for word in run):
                return True
            start = initials.find(letters.lower(), start + 1)
    return False


def _covered(
    value_words: Sequence[Word], value: str, text: str, words: Sequence[Word], numbers: frozenset[float]
) -> float:
    text_words = [word.text for word in words]
    total = covered = 0.0
    count = 0
    for word in value_words:
        if word.text in STOP_WORDS and len(value_words) > 1:
            continue
        weight = 0.2 if word.text in _TITLES else 1.0
        if any(each.isdigit() for each in word.text):
            # One wrong digit makes the value wrong, however many words match.
            if not (word.text in text_words or _number(word.text) in numbers):
                return 0.0
            covered += weight
        elif any(same_word(word.text, each) for each in text_words):
            covered += weight
        total += weight
        count += 1
    if not total:
        return 0.0  # only stop words: "there"
    share = covered / total
    if share < 1.0:
        # One extra word makes a different name ("Museum of Modern Art"); a sentence may use other words.
        share = max(share ** (1 + 3 / count), _without_region(value, text, words, numbers))
    return share


def _number(text: str) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(st|nd|rd|th|%)?", text)
    return float(match[1]) if match else None


def _without_region(value: str, text: str, words: Sequence[Word], numbers: frozenset[float]) -> float:
    """Scores "Seattle, WA" for "Seattle": the region of a place may be missing in the text."""
    # A time zone: "Europe/London" for "London".
    if re.fullmatch(r"[A-Z][a-z]+(/[A-Z]\w+)+", value):
        return word_coverage(value.rpartition("/")[2].replace("_", " "), text, words, numbers)
    head, comma, tail = value.rpartition(",")
    if not comma or not any(kind in _REGIONS for kind, _ in locale_names.entities_of(tail)):
        return 0.0
    others = {meaning for meaning in locale_names.entities_in(text) if meaning[0] in _REGIONS}
    if others and not others & locale_names.entities_of(tail):
        return 0.0
    return word_coverage(head, text, words, numbers) * 0.95

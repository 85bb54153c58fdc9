"""How much of a free text value the conversation said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from extproc.pipeline.functions.grounding import locale_names
from extproc.pipeline.functions.grounding.word_forms import STOP, Word, alike, fold, listed, name_words, normal, words

# What companies and places are called besides their names.
_TITLES: Final = listed(
    """
    inc incorporated corp corporation co company ltd limited llc plc gmbh ag sa group holdings city county state
    province republic mr mrs ms dr prof sir
    """
)
_REGIONS: Final = frozenset({"countries", "states"})
_LINK: Final = re.compile(r"^[\w.+-]+@[\w-]+(\.[\w-]+)+$|^\w+://\S+$|^www\.\S+$")
_UNSPACED: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\u0e00-\u0e7f]")


def coverage(value: str, said: str, spoken: Sequence[Word], numbers: frozenset[float]) -> float:
    """The share of the value's words that were said, 0 to 1. Links and ids are said as a whole or not at all."""
    value = normal(value).strip()
    if _LINK.match(value):
        return float(_links(value) in _links(said))
    wanted = _value_words(value)
    if not wanted or _UNSPACED.search(value):
        return float(value != "" and value.casefold() in normal(said).casefold())
    if (locale_names.meanings(value) | locale_names.language(value)) & locale_names.said(said):
        return 1.0
    if _joined(wanted, spoken) or _initials(wanted, spoken) or _spelled_out(value, spoken):
        return 1.0
    return _covered(wanted, value, said, spoken, numbers)


def _links(text: str) -> str:
    return re.sub(r"(\w+://|www\.)|/(?=\s|$)", "", normal(text).casefold())


def _value_words(value: str) -> list[Word]:
    if re.fullmatch(r"[\w-]+", value) and not re.search(r"\d", value):
        return [Word(word, fold(word), 0, 0) for word in name_words(value.replace("-", " "))]
    return words(value)


def _joined(wanted: Sequence[Word], spoken: Sequence[Word]) -> bool:
    """Whether consecutive words, written together, are the value written together: "AB-1207 X" and "ab1207x"."""
    compact = "".join(word.text for word in wanted)
    for start in range(len(spoken)):
        rest = compact
        for word in spoken[start:]:
            if not rest.startswith(word.text):
                break
            rest = rest[len(word.text) :]
            if not rest:
                return True
    return False


def _initials(wanted: Sequence[Word], spoken: Sequence[Word]) -> bool:
    """ "New York City" was said as "NYC"."""
    letters = "".join(word.text[0] for word in wanted if word.text not in STOP)
    return len(letters) >= 2 and any(
        word.text == letters
        and (word.raw.isupper() or len(letters) > 3 or (len(letters) == 3 and word.text not in STOP))
        for word in spoken
    )


def _spelled_out(value: str, spoken: Sequence[Word]) -> bool:
    """ "NYC" was said as "New York City"."""
    letters = value.replace(".", "")
    if not (2 <= len(letters) <= 6 and letters.isalpha() and letters.isupper()):
        return False
    firsts = [word for word in spoken if word.text not in STOP]
    for source in (spoken, firsts):
        initials = "".join(word.text[0] for word in source)
        start = initials.find(letters.lower())
        while start >= 0:
            run = source[start : start + len(letters)]
            # Two short words may begin with any two letters: names have capitals.
            if len(letters) > 3 or all(word.raw[0].isupper() for word in run):
                return True
            start = initials.find(letters.lower(), start + 1)
    return False


def _covered(wanted: Sequence[Word], value: str, said: str, spoken: Sequence[Word], numbers: frozenset[float]) -> float:
    heard = [word.text for word in spoken]
    total = found = 0.0
    count = 0
    for word in wanted:
        if word.text in STOP and len(wanted) > 1:
            continue
        weight = 0.2 if word.text in _TITLES else 1.0
        if any(each.isdigit() for each in word.text):
            # A wrong digit is a wrong value, however many words around it are right.
            if not (word.text in heard or _number(word.text) in numbers):
                return 0.0
            found += weight
        elif any(alike(word.text, each) for each in heard):
            found += weight
        total += weight
        count += 1
    if not total:
        return 0.0  # "there" is no value
    share = found / total
    if share < 1.0:
        # One word too many makes another thing of a name ("Museum of Modern Art"); a sentence may be in other words.
        share = max(share ** (1 + 3 / count), _without_region(value, said, spoken, numbers))
    return share


def _number(text: str) -> float | None:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(st|nd|rd|th|%)?", text)
    return float(match[1]) if match else None


def _without_region(value: str, said: str, spoken: Sequence[Word], numbers: frozenset[float]) -> float:
    """ "Seattle, WA" for "Seattle": where a place lies is often added, and need not be said."""
    # A time zone is named after its city: "Europe/London".
    if re.fullmatch(r"[A-Z][a-z]+(/[A-Z]\w+)+", value):
        return coverage(value.rpartition("/")[2].replace("_", " "), said, spoken, numbers)
    head, comma, tail = value.rpartition(",")
    if not comma or not any(kind in _REGIONS for kind, _ in locale_names.meanings(tail)):
        return 0.0
    others = {meaning for meaning in locale_names.said(said) if meaning[0] in _REGIONS}
    if others and not others & locale_names.meanings(tail):
        return 0.0
    return coverage(head, said, spoken, numbers) * 0.95

"""Countries, currencies, languages and states by any of their names and codes.

locale_names.json: from the Unicode CLDR (English names, Unicode-3.0 licence; ISO 3166, 4217 and 639 codes), and words in
common use for currencies and nationalities.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import msgspec

from extproc.pipeline.functions.grounding.word_forms import fold, listed, normal, words

# Codes that are English words: they count in capitals only, as all codes of two letters do.
_ALSO_WORDS: Final = listed(
    """
    all and are bam cup gel lak mad mop mur nor per pen phi sos top try won can cod cub fin fra her ken man mar
    omr dom esp ton pan tun tur gin gum
    """
)
_LOCALE: Final = re.compile(r"[a-z]{2}-[A-Z]{2}")
_SIGNS: Final = "$€£¥₹₽₩₪"

Meaning = tuple[str, int]


@cache
def _groups() -> dict[str, list[list[str]]]:
    return msgspec.json.decode(
        (Path(__file__).parent / "locale_names.json").read_bytes(), type=dict[str, list[list[str]]]
    )


@cache
def _table() -> tuple[dict[tuple[str, ...], set[Meaning]], dict[str, Meaning]]:
    """(the folded words of each name -> what it means), (each sign -> what it means)."""
    by_words: dict[tuple[str, ...], set[Meaning]] = {}
    by_sign: dict[str, Meaning] = {}
    for kind, groups in _groups().items():
        for index, names in enumerate(groups):
            for name in names:
                if name in _SIGNS:
                    by_sign[name] = (kind, index)
                key = tuple(word.text for word in words(name))
                if key:
                    by_words.setdefault(key, set()).add((kind, index))
    return by_words, by_sign


_LONGEST: Final = 5


@lru_cache(maxsize=512)
def said(text: str) -> frozenset[Meaning]:
    """Every country, currency, language and state in `text`; of names within names the longest ("Canadian dollars")."""
    by_words, by_sign = _table()
    found = {by_sign[sign] for sign in text if sign in by_sign}
    tokens = words(text)
    spans: list[tuple[int, int, set[Meaning]]] = []
    for length in range(_LONGEST, 0, -1):
        for start in range(len(tokens) - length + 1):
            span = tokens[start : start + length]
            meanings = by_words.get(tuple(word.text for word in span))
            if not meanings or (length == 1 and not _is_name(span[0].raw)):
                continue
            kinds = {kind for kind, _ in meanings}
            inside = {
                kind
                for s, e, others in spans
                if s <= start and start + length <= e
                for kind, _ in others
                if kind in kinds
            }
            spans.append((start, start + length, meanings))
            found |= {meaning for meaning in meanings if meaning[0] not in inside}
    return frozenset(found)


def meanings(value: str) -> frozenset[Meaning]:
    """What a whole value may mean: "DE" the country, the state and the language; "de" all of them too."""
    by_words, by_sign = _table()
    stripped = normal(value).strip()
    if stripped in by_sign:
        return frozenset({by_sign[stripped]})
    return frozenset(by_words.get(tuple(word.text for word in words(stripped)), ()))


def code(meaning: Meaning) -> str:
    """The first name of a group: its code."""
    kind, index = meaning
    return _groups()[kind][index][0]


def language(value: str) -> frozenset[Meaning]:
    """What a locale is a form of: "es-ES" is Spanish."""
    return meanings(value[:2]) if _LOCALE.fullmatch(value) else frozenset()


def _is_name(raw: str) -> bool:
    folded = fold(raw)
    if len(folded) <= 2:
        return raw.isupper()
    return raw.isupper() or folded not in _ALSO_WORDS

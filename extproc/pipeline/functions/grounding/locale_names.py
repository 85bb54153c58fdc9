"""Recognises countries, currencies, languages and states by their names and codes. Pure.

locale_names.json: kind -> groups of names of one entity, the code first. Source: Unicode CLDR (English names,
Unicode-3.0 licence; ISO 3166, 4217 and 639 codes), plus common words for currencies and nationalities.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

import msgspec

from extproc.pipeline.functions.grounding.word_forms import fold, normalize, split_words, word_set

# Codes that are also English words. They count only in capitals, as all codes of two letters do.
_ENGLISH_WORDS: Final = word_set(
    """
    all and are bam cup gel lak mad mop mur nor per pen phi sos top try won can cod cub fin fra her ken man mar
    omr dom esp ton pan tun tur gin gum
    """
)
_LOCALE: Final = re.compile(r"[a-z]{2}-[A-Z]{2}")
_SIGNS: Final = "$€£¥₹₽₩₪"

# (kind, index of the group)
Entity = tuple[str, int]


@cache
def _name_groups() -> dict[str, list[list[str]]]:
    return msgspec.json.decode(
        (Path(__file__).parent / "locale_names.json").read_bytes(), type=dict[str, list[list[str]]]
    )


@cache
def _lookup_tables() -> tuple[dict[tuple[str, ...], set[Entity]], dict[str, Entity]]:
    """Returns (folded words of a name -> entities, currency sign -> entity)."""
    by_words: dict[tuple[str, ...], set[Entity]] = {}
    by_sign: dict[str, Entity] = {}
    for kind, groups in _name_groups().items():
        for index, names in enumerate(groups):
            for name in names:
                if name in _SIGNS:
                    by_sign[name] = (kind, index)
                key = tuple(word.text for word in split_words(name))
                if key:
                    by_words.setdefault(key, set()).add((kind, index))
    return by_words, by_sign


_MAX_NAME_WORDS: Final = 5


@lru_cache(maxsize=512)
def entities_in(text: str) -> frozenset[Entity]:
    """Returns every entity that `text` names. Of nested names the longest counts ("Canadian dollars")."""
    by_words, by_sign = _lookup_tables()
    entities = {by_sign[sign] for sign in text if sign in by_sign}
    words = split_words(text)
    spans: list[tuple[int, int, set[Entity]]] = []
    for length in range(_MAX_NAME_WORDS, 0, -1):
        for start in range(len(words) - length + 1):
            span = words[start : start + length]
            matches = by_words.get(tuple(word.text for word in span))
            if not matches or (length == 1 and not _is_name(span[0].raw)):
                continue
            kinds = {kind for kind, _ in matches}
            outer_kinds = {
                kind
                for outer_start, outer_end, others in spans
                if outer_start <= start and start + length <= outer_end
                for kind, _ in others
                if kind in kinds
            }
            spans.append((start, start + length, matches))
            entities |= {entity for entity in matches if entity[0] not in outer_kinds}
    return frozenset(entities)


def entities_of(value: str) -> frozenset[Entity]:
    """Returns the entities that a whole value may mean: "DE" or "de" the country, the state and the language."""
    by_words, by_sign = _lookup_tables()
    stripped = normalize(value).strip()
    if stripped in by_sign:
        return frozenset({by_sign[stripped]})
    return frozenset(by_words.get(tuple(word.text for word in split_words(stripped)), ()))


def code(entity: Entity) -> str:
    """Returns the code of an entity."""
    kind, index = entity
    return _name_groups()[kind][index][0]


def locale_language(value: str) -> frozenset[Entity]:
    """Returns the language of a locale: "es-ES" is Spanish."""
    return entities_of(value[:2]) if _LOCALE.fullmatch(value) else frozenset()


def _is_name(raw: str) -> bool:
    folded = fold(raw)
    if len(folded) <= 2:
        return raw.isupper()
    return raw.isupper() or folded not in _ENGLISH_WORDS

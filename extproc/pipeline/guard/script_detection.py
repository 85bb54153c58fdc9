"""Finds texts in scripts that a guard's model cannot read. Pure; used by prepared_texts.py and evaluator.py.

The texts are decoded variants: look-alikes of Latin letters are already Latin letters there.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from extproc.shared.scripts import Script

# A text is unreadable if more than this share of its letters is.
_MAX_SHARE: Final = 0.5
# Fewer unreadable letters are a symbol, as in a formula, or a sign.
_LEAST_LETTERS: Final = 4
# Letters but modifiers (Lm), which several scripts share.
_LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lo"})
_SCRIPTS: Final[Mapping[str, Script]] = {script.upper(): script for script in Script} | {"CJK": Script.HAN}
_ASCII_LETTERS: Final = str.maketrans("", "", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


def count_letters(text: str) -> Mapping[Script, int]:
    """Returns the number of letters of each script in `text`."""
    if text.isascii():
        letters = len(text) - len(text.translate(_ASCII_LETTERS))
        return {Script.LATIN: letters} if letters else {}
    counts: Counter[Script] = Counter()
    for char, count in Counter(text).items():
        script = _script(char)
        if script is not None:
            counts[script] += count
    return counts


def unreadable_scripts(letters: Mapping[Script, int], readable: Collection[Script]) -> frozenset[Script]:
    """Returns the scripts outside `readable` of a text with these `letters`; none if the text is readable.

    `readable` empty: every script is readable.
    """
    if not readable:
        return frozenset()
    others = {script: count for script, count in letters.items() if script not in readable}
    count = sum(others.values())
    is_unreadable = count >= _LEAST_LETTERS and count > _MAX_SHARE * sum(letters.values())
    return frozenset(others) if is_unreadable else frozenset()


@lru_cache(maxsize=8_192)
def _script(char: str) -> Script | None:
    """Returns the script of a letter; None for any other character.

    Python has no table of scripts, but the Unicode name of a letter begins with its script.
    """
    if unicodedata.category(char) not in _LETTERS:
        return None
    return _SCRIPTS.get(unicodedata.name(char, "").partition(" ")[0].partition("-")[0], Script.OTHER)

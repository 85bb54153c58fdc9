"""Brings a text into one plain spelling: no invisible characters, no escapes, ASCII letters for their look-alikes.

Used by decoded_variants.py. Nothing here guesses. Texts in other scripts keep their letters. Latin letters lose their
accents, which the guard's models ignore.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from extproc.pipeline.guard.character_sets import INVISIBLE, MARKS, SURROGATES, regex_class
from extproc.pipeline.guard.confusables import CONFUSABLE_CHARS, LATIN_BASE, LATIN_CHARS, fold_confusables
from extproc.pipeline.guard.escapes import unescape

# Match only white space that must change: most texts have little.
_SPACES: Final = re.compile("[^\\S\n ](?:[^\\S\n]|\u2800)*| (?:[^\\S\n]|\u2800)+|\u2800(?:[^\\S\n]|\u2800)*")
_LINES: Final = re.compile(r"(?: \n|\n[ \n])[ \n]*")

# Nested levels of escapes; no model reads deeper.
_MAX_ESCAPE_DEPTH: Final = 8


def normalize(text: str) -> str:
    """Removes invisible characters, resolves escapes and replaces letters by their plain forms. Keeps white space.

    Never raises. A lone surrogate becomes the replacement character.
    """
    text = _normalize_letters(text)
    for _ in range(_MAX_ESCAPE_DEPTH):
        unescaped = unescape(text)
        if unescaped == text:
            break
        text = _normalize_letters(unescaped)
    return text


def collapse_white_space(text: str) -> str:
    """Replaces each run of white space by one space, or by one line break if the run has one."""
    return _LINES.sub("\n", _SPACES.sub(" ", text.replace("\r\n", "\n").replace("\r", "\n"))).strip()


def _normalize_letters(text: str) -> str:
    # Each step runs only if its characters occur: the check costs a hundredth of the step.
    chars = set(text)
    if surrogates := chars & SURROGATES:
        text = re.sub(regex_class(surrogates), "\ufffd", text)
    text = _remove(text, chars & INVISIBLE)
    if text.isascii():
        return text
    if marks := chars & MARKS:
        # Cut stacks of marks first: NFKC takes time quadratic in their height.
        mark = regex_class(marks)
        text = re.sub(f"({mark}{mark}){mark}+", r"\1", text)
    # NFKC may produce invisible characters again.
    text = unicodedata.normalize("NFKC", text)
    chars = set(text)
    text = _remove(text, chars & INVISIBLE)
    if not chars.isdisjoint(LATIN_CHARS):
        text = text.translate(LATIN_BASE)
    if marks := chars & MARKS:
        text = re.sub(f"(?<=[\x01-\x7f]){regex_class(marks)}+", "", text)
    return text if chars.isdisjoint(CONFUSABLE_CHARS) else fold_confusables(text)


def _remove(text: str, chars: set[str]) -> str:
    return re.sub(f"{regex_class(chars)}+", "", text) if chars else text

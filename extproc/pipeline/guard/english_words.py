"""A list of English words: share of English in a text, and word segmentation. Used by the decoders of this package.

The list is every WordPiece of vocabulary.py with three letters or more, most frequent first, plus the short words and
domain words below. The packaged lists that were tried (wordfreq, wordninja, wordsegment, symspellpy) find no more
attacks, and each changes the variants of 2 to 10 % of all texts, on which the guard's models are trained.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

from extproc.vocabulary import WORD_PIECES

_SHORT_WORDS: Final = "a i ad ai am an as at be by do go he hi if in is it me my no of ok on or so to up us we".split()  # noqa: SIM905 - read as a line of words
# Words of prompts and attacks that the vocabulary lacks.
_PROMPT_WORDS: Final = (  # noqa: SIM905
    "admin bypassing chatbot chatgpt decode decoded disregarding exfiltrate hereby ignoring jailbreak jailbroken "
    "leak leaking llm override overrides prompts roleplay sudo uncensored unethical unfiltered unlocked unrestricted "
    "verbatim"
).split()

WORDS: Final = tuple(piece for piece in WORD_PIECES if len(piece) >= 3 and piece.isascii() and piece.isalpha())
_KNOWN: Final = frozenset((*_SHORT_WORDS, *_PROMPT_WORDS, *WORDS))

LETTER_RUN: Final = re.compile(r"[A-Za-z]++")

_LONGEST_WORD: Final = 16
# Zipf's law: the word of rank r has a probability of about 1 / (r ln N). The cost is its negative logarithm. An unknown
# letter costs more than any word.
_COST: Final = {
    **{word: math.log((rank + 1) * math.log(len(WORDS))) for rank, word in enumerate((*_SHORT_WORDS, *WORDS))},
    **dict.fromkeys(_PROMPT_WORDS, 9.0),
}
_UNKNOWN_LETTER_COST: Final = 14.0
# Letters. Exact segmentation takes 10 µs a letter, so longer runs are cut greedily.
_MAX_EXACT: Final = 1024


def is_word(word: str) -> bool:
    """Returns whether `word` is English, in any case."""
    return word.lower() in _KNOWN


def english_share(text: str) -> float:
    """Returns the share of the ASCII letters of `text` that are in English words, 0 to 1; 0 without letters."""
    words = LETTER_RUN.findall(text)
    letters = sum(map(len, words))
    return sum(len(word) for word in words if word.lower() in _KNOWN) / letters if letters else 0.0


@lru_cache(maxsize=1024)
def segment(letters: str) -> tuple[str, ...]:
    """Cuts a run of letters into words. A letter that belongs to no word stands alone."""
    return tuple(_segment_exactly(letters) if len(letters) <= _MAX_EXACT else _segment_greedily(letters))


def _segment_exactly(letters: str) -> list[str]:
    """Returns the cut of the lowest cost, by dynamic programming."""
    lower = letters.lower()
    costs, starts = [0.0], [0]
    for end in range(1, len(lower) + 1):
        best, start = costs[end - 1] + _COST.get(lower[end - 1], _UNKNOWN_LETTER_COST), end - 1
        for begin in range(max(0, end - _LONGEST_WORD), end - 1):
            cost = _COST.get(lower[begin:end])
            if cost is not None and costs[begin] + cost < best:
                best, start = costs[begin] + cost, begin
        costs.append(best)
        starts.append(start)
    words: list[str] = []
    end = len(letters)
    while end:
        words.append(letters[starts[end] : end])
        end = starts[end]
    return words[::-1]


def _segment_greedily(letters: str) -> list[str]:
    """Takes the longest word at each position."""
    lower = letters.lower()
    words: list[str] = []
    start = 0
    while start < len(lower):
        end = min(start + _LONGEST_WORD, len(lower))
        while end > start + 1 and lower[start:end] not in _KNOWN:
            end -= 1
        words.append(letters[start:end])
        start = end
    return words

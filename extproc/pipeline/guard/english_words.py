"""English words: is a text English, and where do its words end? Used by ciphers.py, encodings.py and screening.py.

The words are those of three letters or more in vocabulary.py, the most frequent first.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import Final

from extproc.vocabulary import PIECES

_SHORT: Final = "a i ad ai am an as at be by do go he hi if in is it me my no of ok on or so to up us we".split()  # noqa: SIM905 - read as a line of words
# What people write to models about, and the list does not know.
_OF_MODELS: Final = (  # noqa: SIM905
    "admin bypassing chatbot chatgpt decode decoded disregarding exfiltrate hereby ignoring jailbreak jailbroken "
    "leak leaking llm override overrides prompts roleplay sudo uncensored unethical unfiltered unlocked unrestricted "
    "verbatim"
).split()

WORDS: Final = tuple(piece for piece in PIECES if len(piece) >= 3 and piece.isascii() and piece.isalpha())
_KNOWN: Final = frozenset((*_SHORT, *_OF_MODELS, *WORDS))

LETTERS: Final = re.compile(r"[A-Za-z]++")

_LONGEST: Final = 16
# Zipf: the word of rank r has a probability of about 1 / (r ln N). An unknown letter costs more than any word.
_COST: Final = {
    **{word: math.log((rank + 1) * math.log(len(WORDS))) for rank, word in enumerate((*_SHORT, *WORDS))},
    **dict.fromkeys(_OF_MODELS, 9.0),
}
_UNKNOWN_LETTER: Final = 14.0
# The exact way costs 10 µs a letter; what is longer than any sentence is cut greedily.
_EXACT_LETTERS: Final = 1024


def is_word(word: str) -> bool:
    """Whether an English word is spelled so, in whatever case."""
    return word.lower() in _KNOWN


def likeness(text: str) -> float:
    """Which share of the letters of `text` stands in English words, 0 to 1; 0 where there are no letters."""
    found = LETTERS.findall(text)
    letters = sum(map(len, found))
    return sum(len(word) for word in found if word.lower() in _KNOWN) / letters if letters else 0.0


@lru_cache(maxsize=1024)
def segment(letters: str) -> tuple[str, ...]:
    """The words that were written without spaces between them; letters that make no word stand alone."""
    return tuple(_exact(letters) if len(letters) <= _EXACT_LETTERS else _greedy(letters))


def _exact(letters: str) -> list[str]:
    """The cheapest cut, by dynamic programming."""
    lower = letters.lower()
    costs, starts = [0.0], [0]
    for end in range(1, len(lower) + 1):
        best, start = costs[end - 1] + _COST.get(lower[end - 1], _UNKNOWN_LETTER), end - 1
        for begin in range(max(0, end - _LONGEST), end - 1):
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


def _greedy(letters: str) -> list[str]:
    """The longest word from each place on."""
    lower = letters.lower()
    words: list[str] = []
    start = 0
    while start < len(lower):
        end = min(start + _LONGEST, len(lower))
        while end > start + 1 and lower[start:end] not in _KNOWN:
            end -= 1
        words.append(letters[start:end])
        start = end
    return words

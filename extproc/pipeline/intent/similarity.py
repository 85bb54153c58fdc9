"""Similarity of a prompt and a prompt target, from embeddings and from shared words. Pure; used by target_index.py.

docs/quality.md has the effect of each part.
"""

from __future__ import annotations

import math
import re
from typing import Final

from extproc.inference.interface import FloatMatrix
from extproc.shared.filter_config import Target

# Share of the word overlap in a score. Embeddings miss the rare word that decides (a product's name, a brand), and
# score short prompts low.
_WORD_WEIGHT: Final = 0.25
# The best of many unrelated targets scores higher than the best of two: the expected maximum of n normal variables is
# at most deviation * sqrt(2 ln n). This is a little less than the deviation of the cosines of unrelated pairs.
_DEVIATION: Final = 0.04
# A long prompt begins with its request; the limit also bounds the cost.
_MAX_STEMS: Final = 256
# A long prompt says more than its request: the overlap is a share of at most this many words.
_ENOUGH_STEMS: Final = 12

_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_ENDING: Final = re.compile(r"(ing|ed|es|s)$")
# Words that any request may have, and that say nothing about its subject.
_STOP_WORDS: Final = frozenset(
    _WORD.findall(
        "about all also and any are based but can could find for from get give given has have help how into its just "
        "let like make may more much need not now off one only our out please provide see should show some specified "
        "tell than that the their them then there these they this those use using want was were what when where which "
        "who will with would you your"
    )
)


def target_texts(target: Target) -> tuple[str, ...]:
    """Returns the texts that are embedded for a target: its name in words and its description, without and with its
    parameters.
    """
    text = f"{_in_words(target.name)}: {target.description}"
    if not target.parameters:
        return (text,)
    return text, f"{text} ({', '.join(_in_words(parameter.name) for parameter in target.parameters)})"


def target_stems(target: Target) -> frozenset[str]:
    """Returns the stems of a target's texts."""
    return stems(" ".join(target_texts(target)))


def stems(text: str) -> frozenset[str]:
    """Returns the words of `text` without stop words, and without the endings of plurals and verbs."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(text.lower()):
        if match[0] not in _STOP_WORDS:
            found[_ENDING.sub("", match[0]) or match[0]] = None
            if len(found) >= _MAX_STEMS:
                break
    return frozenset(found)


def word_overlap(prompt: frozenset[str], target: frozenset[str]) -> float:
    """Returns the share of the prompt's stems that the target has, in [0, 1]."""
    return min(1.0, len(prompt & target) / max(1, min(len(prompt), _ENOUGH_STEMS)))


def similarity(text_cosines: FloatMatrix, example_cosines: FloatMatrix, overlap: float, targets: int = 1) -> float:
    """Combines the centred cosines to a target's texts and examples and the word overlap into one score.

    The nearest example counts as much as the description: examples show how users ask, the description what the target
    is for. `targets`: the number of targets that the best one is chosen from. 0 is usual for an unrelated pair.
    """
    described = (1 - _WORD_WEIGHT) * (float(text_cosines.max()) - crowding(targets)) + _WORD_WEIGHT * overlap
    if not example_cosines.size:
        return described
    return (described + float(example_cosines.max()) - crowding(targets)) / 2


def crowding(targets: int) -> float:
    """Returns how much the best of so many unrelated targets exceeds a single one. It makes one threshold serve all."""
    return _DEVIATION * math.sqrt(2 * math.log(targets))


def _in_words(name: str) -> str:
    """Splits an identifier: "getWeather_forecast" -> "get weather forecast"."""
    return re.sub(r"[_\-.]+|(?<=[a-z0-9])(?=[A-Z])", " ", name).strip().lower()

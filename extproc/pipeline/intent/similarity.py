"""How like a prompt is to a prompt target, from embeddings and from the words they share. Pure.

What each part brings is in docs/quality.md.
"""

from __future__ import annotations

import re
from typing import Final

from extproc.inference.interface import FloatMatrix
from extproc.shared.filter_config import Target

# The part that shared words have in a score. Embeddings miss the rare word that settles it (a product's name, a brand),
# and score short prompts low.
_WORDS: Final = 0.25
# Of a longer prompt the first words are looked at: a request says early what it wants, and the cost stays bounded.
_MOST_WORDS: Final = 256
# A long prompt says much beside what it wants: no target has more of its words than so many.
_ENOUGH: Final = 12

_WORD: Final = re.compile(r"[^\W\d_]{3,}")
_ENDING: Final = re.compile(r"(ing|ed|es|s)$")
# Words that say how one asks, not what for.
_STOP_WORDS: Final = frozenset(
    _WORD.findall(
        "about all also and any are based but can could find for from get give given has have help how into its just "
        "let like make may more much need not now off one only our out please provide see should show some specified "
        "tell than that the their them then there these they this those use using want was were what when where which "
        "who will with would you your"
    )
)


def views(target: Target) -> tuple[str, ...]:
    """The texts that stand for a target, each embedded by itself: its name as words and what it is for, without and
    with its parameters.
    """
    said = f"{_spoken(target.name)}: {target.description}"
    if not target.parameters:
        return (said,)
    return said, f"{said} ({', '.join(_spoken(parameter.name) for parameter in target.parameters)})"


def vocabulary(target: Target) -> frozenset[str]:
    """The stems of the words that say what a target is for."""
    return stems(" ".join(views(target)))


def stems(text: str) -> frozenset[str]:
    """The words of `text` that carry meaning, without the endings of plurals and verbs."""
    found: dict[str, None] = {}
    for match in _WORD.finditer(text.lower()):
        if match[0] not in _STOP_WORDS:
            found[_ENDING.sub("", match[0]) or match[0]] = None
            if len(found) >= _MOST_WORDS:
                break
    return frozenset(found)


def overlap(prompt: frozenset[str], target: frozenset[str]) -> float:
    """The share of the prompt's words that the target has, in [0, 1]."""
    return min(1.0, len(prompt & target) / max(1, min(len(prompt), _ENOUGH)))


def likeness(to_views: FloatMatrix, to_examples: FloatMatrix, shared: float) -> float:
    """One score, in [-1, 1], from the cosines to the target's views and to its examples, and from the overlap of words.

    Examples count as much as the description: the nearest of them says whether somebody has asked like this before, the
    description whether this is what the target is for.
    """
    described = (1 - _WORDS) * float(to_views.max()) + _WORDS * shared
    if not to_examples.size:
        return described
    return (described + float(to_examples.max())) / 2


def _spoken(name: str) -> str:
    """`getWeather_forecast` as "get weather forecast"."""
    return re.sub(r"[_\-.]+|(?<=[a-z0-9])(?=[A-Z])", " ", name).strip().lower()

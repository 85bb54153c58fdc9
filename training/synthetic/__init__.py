"""Synthetic labelled texts for training the guard: attacks, and benign texts that use the same words.

The texts are drawn from grammars in grammars/, one file a kind. The grammars are written from general knowledge (OWASP
LLM01, published kinds of jailbreak, common sense), and contain no item of any benchmark. The two labels share their
vocabulary; they differ in the request that is made. Used by guard_texts.py.
"""

from __future__ import annotations

from random import Random

from training.datasets import Text
from training.synthetic.kinds import KINDS, Kind
from training.synthetic.typing_errors import with_typing_errors

MIN_LENGTH, MAX_LENGTH = 3, 4000  # characters


def synthetic_texts(seed: int = 0) -> list[Text]:
    """Returns about 4,100 attacks and 5,400 benign texts, the same ones for the same seed.

    No two texts are equal without case, digits and punctuation. Groups: "generated-attack" and "generated-benign";
    `category` is the name of the kind.
    """
    seen: set[str] = set()
    return [text for kind in KINDS for text in _of(kind, seed, seen)]


def _of(kind: Kind, seed: int, seen: set[str]) -> list[Text]:
    """Returns the texts of one kind. Each kind has its own seed: adding or removing a kind leaves the others equal."""
    random = Random(f"{seed} {kind.attack} {kind.name}")  # noqa: S311 - no secret
    group = "generated-attack" if kind.attack else "generated-benign"
    texts: list[Text] = []
    for _ in range(20 * kind.count):
        text = with_typing_errors(kind.draw(random), random) if kind.typing_errors else kind.draw(random)
        core = _core(text)
        if core in seen or not MIN_LENGTH <= len(text) <= MAX_LENGTH:
            continue
        seen.add(core)
        texts.append(Text(text, kind.attack, group, kind.name))
        if len(texts) == kind.count:
            return texts
    raise ValueError(f"the grammar of {kind.name} gives too few different texts")


def _core(text: str) -> str:
    """Returns the letters of a text in one case, or the text itself when it has no letters."""
    return "".join(letter for letter in text.casefold() if letter.isalpha()) or text

"""Labelled texts made by rules, for training the guard: attacks, and benign texts that use the same words.

The rules are written from general knowledge (OWASP LLM01, the published kinds of jailbreak, common sense) and from no
benchmark's items. What tells the two labels apart is what is asked of whom, not the vocabulary.
"""

from __future__ import annotations

from random import Random

from training.generated.kinds import KINDS, Kind
from training.generated.wear import worn
from training.sources import Text

SHORTEST, LONGEST = 3, 4000  # characters


def generated(seed: int = 0) -> list[Text]:
    """About 4,100 attacks and 5,400 benign texts, no two alike but for case, digits and punctuation; the same for the
    same seed. Groups "generated-attack" and "generated-benign"; `category` is the kind's name.
    """
    seen: set[str] = set()
    return [text for kind in KINDS for text in _of(kind, seed, seen)]


def _of(kind: Kind, seed: int, seen: set[str]) -> list[Text]:
    """One kind's texts. Its own seed, so that a kind more or less leaves the others as they are."""
    random = Random(f"{seed} {kind.attack} {kind.name}")  # noqa: S311 - no secret
    group = "generated-attack" if kind.attack else "generated-benign"
    texts: list[Text] = []
    for _ in range(20 * kind.count):
        said = worn(kind.draw(random), random) if kind.worn else kind.draw(random)
        core = _core(said)
        if core in seen or not SHORTEST <= len(said) <= LONGEST:
            continue
        seen.add(core)
        texts.append(Text(said, kind.attack, group, kind.name))
        if len(texts) == kind.count:
            return texts
    raise ValueError(f"the rules of {kind.name} give too few different texts")


def _core(text: str) -> str:
    """What stays of a text without case, digits and punctuation; of a text without letters, the text."""
    return "".join(letter for letter in text.casefold() if letter.isalpha()) or text

"""The positive classes of a sequence classifier, chosen by label. Pure. Used by sequence_classifier.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A class of this name is left out of the probability, as in zero-shot classification by entailment (Yin et al. 2019).
_NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Classes:
    """Indices of classes. The result is the probability of the `positive` classes among the `counted` ones."""

    positive: tuple[int, ...]
    counted: tuple[int, ...]

    def probability(self, logits: Sequence[float]) -> float:
        """Returns the probability of the positive classes, by a softmax over the counted classes."""
        largest = max(logits[index] for index in self.counted)
        weights = {index: math.exp(logits[index] - largest) for index in self.counted}
        return sum(weights[index] for index in self.positive) / sum(weights.values())


def classes(names: Mapping[str, str], positive: str) -> Classes:
    """Selects classes. `names`: `id2label` of config.json. `positive`: names or numbers, separated by commas.

    Raises ValueError if a class does not exist, or if no class or every class is positive.
    """
    by_name = {name.casefold(): int(number) for number, name in names.items()} | {
        number: int(number) for number in names
    }
    labels = [each.strip().casefold() for each in positive.split(",") if each.strip()]
    if unknown := [each for each in labels if each not in by_name]:
        known = ", ".join(f"{number} {name}" for number, name in names.items())
        raise ValueError(f"positive_labels: the model has no class {unknown[0]!r}; it has: {known}")
    chosen = tuple(dict.fromkeys(by_name[each] for each in labels))
    counted = tuple(
        int(number) for number, name in names.items() if name.casefold() != _NEUTRAL or int(number) in chosen
    )
    if not chosen or set(chosen) == set(counted):
        raise ValueError("positive_labels must name some of the model's classes, and not all")
    return Classes(chosen, counted)

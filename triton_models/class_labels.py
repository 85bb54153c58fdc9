"""What the classes of a sequence classifier mean. Pure; used by sequence_classifier.py."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# A class of this name is neither for nor against: as in zero-shot classification by entailment (Yin et al. 2019), the
# probability is that of the others.
_NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Classes:
    """Indices of classes. The model's answer is the probability of the `positive` ones among the `counted`."""

    positive: tuple[int, ...]
    counted: tuple[int, ...]

    def probability(self, logits: Sequence[float]) -> float:
        """Of the positive classes, by the softmax over those that count."""
        most = max(logits[index] for index in self.counted)
        weights = {index: math.exp(logits[index] - most) for index in self.counted}
        return sum(weights[index] for index in self.positive) / sum(weights.values())


def classes(names: Mapping[str, str], positive: str) -> Classes:
    """`names`: `id2label` of the model's config.json. `positive`: names or numbers of classes, parted by commas.

    ValueError where a class does not exist, or none is named, or all are.
    """
    by_name = {name.casefold(): int(number) for number, name in names.items()} | {
        number: int(number) for number in names
    }
    wanted = [each.strip().casefold() for each in positive.split(",") if each.strip()]
    if unknown := [each for each in wanted if each not in by_name]:
        known = ", ".join(f"{number} {name}" for number, name in names.items())
        raise ValueError(f"positive_labels: the model has no class {unknown[0]!r}; it has: {known}")
    chosen = tuple(dict.fromkeys(by_name[each] for each in wanted))
    counted = tuple(
        int(number) for number, name in names.items() if name.casefold() != _NEUTRAL or int(number) in chosen
    )
    if not chosen or set(chosen) == set(counted):
        raise ValueError("positive_labels must name some of the model's classes, and not all")
    return Classes(chosen, counted)

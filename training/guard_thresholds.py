"""Calibrates triton_models/guard/thresholds.json: `python -m training.guard_thresholds --bags bags.jsonl`.

Reads the shipped int8 graph, since quantisation moves scores. The threshold of a group of roles is the lowest score at
which, of its harmless dev texts, the share that counts as attacks is at most that of _GROUPS, as the mean over sources.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from controlplane.assets import asset
from controlplane.models.prepare import prepare
from extproc.pipeline.guard.text_probability import text_log_odds
from training.guard_bags import Bag, load
from triton_models.guard.scorer import Scorer
from triton_models.guard.window_tokens import DEFAULT_ROLE

# Roles with one threshold (a user's words, texts of third parties, the operator's texts), and the share of harmless
# texts that may be flagged. Most of the third parties' dev texts were generated to be mistaken for attacks.
_GROUPS: Final = {("user",): 0.015, ("tool", "document"): 0.07, ("system",): 0.015, ("tools",): 0.015}
_PER_SOURCE: Final = 60
_LEAST_OF_A_SOURCE: Final = 10
_LEAST_SOURCES: Final = 3
_GRID: Final = np.linspace(-6, 10, 641)


def scored(bags: Sequence[Bag], scorer: Scorer) -> Iterator[tuple[Bag, float]]:
    """Yields each bag with its score, which falls with its length as in the gateway."""
    for bag in bags:
        found = text_log_odds((scorer.score(window, bag.role) for window in bag.windows), len(bag.windows))
        yield bag, -math.inf if found is None else found


def threshold(found: Sequence[tuple[Bag, float]], share: float) -> float | None:
    """Returns the threshold at which `share` of these harmless bags is flagged; None if there are too few sources."""
    of_source: defaultdict[str, list[float]] = defaultdict(list)
    for bag, score in found:
        of_source[bag.source].append(score)
    sources = [np.array(scores) for scores in of_source.values() if len(scores) >= _LEAST_OF_A_SOURCE]
    if len(sources) < _LEAST_SOURCES:
        return None
    flagged = np.mean([(scores[None, :] > _GRID[:, None]).mean(axis=1) for scores in sources], axis=0)
    return round(float(_GRID[np.argmax(flagged <= share)]), 3)


def _sample(bags: Sequence[Bag]) -> list[Bag]:
    of_source: defaultdict[tuple[str, str, int], list[Bag]] = defaultdict(list)
    for bag in bags:
        of_source[bag.source, bag.role, bag.label].append(bag)
    draw = random.Random(3)  # noqa: S311 - reproducible, no secret
    return [bag for each in of_source.values() for bag in draw.sample(each, min(len(each), _PER_SOURCE))]


def main() -> int:
    parser = argparse.ArgumentParser(description="Calibrates the guard's thresholds.")
    parser.add_argument("--bags", type=Path, required=True)
    bags = _sample([bag for bag in load(parser.parse_args().bags) if bag.split == "dev"])
    found = list(scored(bags, Scorer(prepare(("guard",))["minilm-guard"])))
    harmless = [(bag, score) for bag, score in found if not bag.label]
    chosen: dict[str, float] = {}
    for group, share in _GROUPS.items():
        score = threshold([each for each in harmless if each[0].role in group], share)
        if score is None:
            print(f"the harmless dev texts of {', '.join(group)} come from too few sources", file=sys.stderr)
            return 1
        chosen |= dict.fromkeys(group, score)
    # What the operator wrote deserves no more doubt than what a user wrote.
    chosen |= {role: max(chosen[role], chosen[DEFAULT_ROLE]) for role in ("system", "tools")}
    (asset("triton_models") / "guard" / "thresholds.json").write_text(json.dumps(chosen, indent=2) + "\n")
    print(chosen)
    for label, name in ((1, "found"), (0, "flagged")):
        shares: defaultdict[str, list[bool]] = defaultdict(list)
        for bag, score in found:
            if bag.label == label:
                shares[bag.source].append(score > chosen[bag.role])
        for source, hits in sorted(shares.items(), key=lambda each: sum(each[1]) / len(each[1])):
            print(f"  {name} {sum(hits) / len(hits):.2f} of {len(hits)}: {source}")
        print(f"{name}, mean over {len(shares)} sources: {np.mean([np.mean(hits) for hits in shares.values()]):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Gateways of targets, with requests that mean one of them and requests that mean none: what intent is measured on.

Only the choice of data: evaluation/intent.py scores it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extproc.shared.filter_config import Target
from training import intent_data, intent_languages
from training.intent_data import Row

# Questions, chat and instructions that no tool answers.
_FAR_SOURCES: Final = ("openai/grade-school-math", "LAION-AI/Open-Assistant", "yizhongw/self-instruct")
_PER_GATEWAY: Final = 30


@dataclass(frozen=True, slots=True)
class Gateway:
    """`asked`: requests with the name of the right target. `near`: requests to tools of the same kind that are not
    here. `far`: texts that ask for no tool.
    """

    group: str
    targets: tuple[Target, ...]
    asked: tuple[tuple[str, str], ...]
    near: tuple[str, ...]
    far: tuple[str, ...]


def far_texts() -> list[str]:
    """Returns texts that ask for no tool; the sources are in no training text but that of the similarity loss."""
    texts = [row["text"] for row in intent_data.read("guard_benign") if row["source"] in _FAR_SOURCES]
    return sorted({text for text in texts if 15 < len(text) < 300})


def unseen(part: str, seed: int = 5) -> list[Gateway]:
    """Returns gateways whose right targets are in no training row. `part`: `dev` or `test`."""
    draw = random.Random(seed)  # noqa: S311
    rows, far = intent_data.rows(part), far_texts()
    by_source: dict[str, list[Row]] = {}
    for row in rows:
        by_source.setdefault(row.source.rpartition("/")[2], []).append(row)
    found = []
    for source, group in by_source.items():
        called: dict[Target, list[str]] = {}
        for row in group:
            if row.gold is not None:
                called.setdefault(row.gold, []).append(row.text)
        if "dstc8" in source:
            found += _dialogue_services(group, far, draw)
        elif "slurp" in source:
            found += _random_gateways("SLURP, 12 of one trade", called, (12, 20), far, draw)
        else:
            found += _random_gateways(source, called, (10, 20), far, draw)
    return found


def _dialogue_services(rows: Sequence[Row], far: Sequence[str], draw: random.Random) -> list[Gateway]:
    """A dialogue's own services. The near requests are those that SGD says fit none of them."""
    found = []
    for row in rows:
        # A target of the same description is the same service under another name.
        targets = tuple({tool.description: tool for tool in (*row.tools, row.gold) if tool is not None}.values())
        if row.gold is None:
            found.append(Gateway("SGD", targets, (), (row.text,), ()))
        elif len(targets) > 1:
            found.append(Gateway("SGD", targets, ((row.text, row.gold.name),), (), tuple(draw.sample(far, 1))))
    return found


def _random_gateways(
    group: str, called: dict[Target, list[str]], counts: tuple[int, int], far: Sequence[str], draw: random.Random
) -> list[Gateway]:
    """Gateways of random targets. `counts`: how many targets each, how many gateways.

    The near requests are those to the targets that were left out.
    """
    size, count = counts
    found = []
    pool = list({target.name: target for target in sorted(called, key=lambda each: each.name)}.values())
    texts = {
        target.name: sorted({text for each in called if each.name == target.name for text in called[each]})
        for target in pool
    }
    size = min(size, len(pool) * 3 // 4)
    for _ in range(count):
        chosen = draw.sample(pool, size)
        names = {target.name for target in chosen}
        asked = [(text, name) for name in sorted(names) for text in draw.sample(texts[name], min(3, len(texts[name])))]
        near = [text for target in pool if target.name not in names for text in texts[target.name]]
        found.append(
            Gateway(
                group,
                tuple(chosen),
                tuple(draw.sample(asked, min(_PER_GATEWAY, len(asked)))),
                tuple(draw.sample(near, min(_PER_GATEWAY, len(near)))),
                tuple(draw.sample(far, _PER_GATEWAY)),
            )
        )
    return found


def languages(seed: int = 6) -> list[Gateway]:
    """Returns gateways of English descriptions with requests in other languages, and the same ones in English."""
    draw, far = random.Random(seed), far_texts()  # noqa: S311
    found = []
    for language, pairs in intent_languages.commands().items():
        called: dict[Target, list[str]] = {}
        for text, target in pairs:
            called.setdefault(target, []).append(text)
        found += _random_gateways(f"assistant, {language}", called, (10, 20), far, draw)
    for language in ("en", *intent_data.LANGUAGES):
        called = {}
        for row in intent_data.home("test", (language,)):
            assert row.gold is not None  # noqa: S101
            called.setdefault(row.gold, []).append(row.text)
        found += _random_gateways(f"smart home, {language}", called, (10, 10), far, draw)
    return found


def sizes(written: dict[Target, list[str]], counts: Sequence[int], seed: int = 7) -> dict[int, list[Gateway]]:
    """Returns gateways with each number of targets of one pool: `written`, targets with their requests."""
    draw, far = random.Random(seed), far_texts()  # noqa: S311
    return {
        count: _random_gateways(f"{count} targets", written, (count, max(4, 96 // count)), far, draw)
        for count in counts
    }

"""The section `functions`: whether the gateway makes the right calls with right arguments, and no call if none fits.

Data: BFCL v4 with its official checker. The pipeline is that of the gateway: the intent stage picks candidates, the
function model proposes calls, arguments are typed, checked and grounded.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from controlplane.compile.prompting import GROUNDING_THRESHOLD, INTENT_THRESHOLD
from evaluation import bfcl
from evaluation.bfcl import Checker, Row
from evaluation.report import Section, table
from extproc.conversation import current_turn
from extproc.inference.interface import Models, RoleUnavailable
from extproc.pipeline.functions.tool_selection import Clarification, NoTargetCall, TargetCalls
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Grounding, Intent, Prompting

# Every second row is the development half, on which rules and thresholds were chosen; the others are the test half. Of
# the development half, and of categories without a goal, only a sample is measured: a row takes more than a second.
_CATEGORIES: Final = ("simple_python", "multiple", "parallel", "irrelevance")
_OTHERS: Final = ("parallel_multiple", "live_simple", "live_multiple")
_SEEN: Final = 60
_SAMPLE: Final = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """The decision on one prompt. `ms`: its time, without the guard."""

    kind: type
    exact: bool
    right_names: bool
    ms: float


def halves(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """Returns the development half and the test half."""
    return list(rows[::2]), list(rows[1::2])


def sample(rows: Sequence[Row], count: int) -> list[Row]:
    """Returns at most `count` of the rows, always the same ones, in order."""
    draw = random.Random(1)  # noqa: S311 - a reproducible sample, no secret
    return [rows[index] for index in sorted(draw.sample(range(len(rows)), min(count, len(rows))))]


async def outcome(models: Models, checker: Checker, row: Row) -> Outcome:
    """Runs one prompt through the pipeline, with the functions of its row as the gateway's targets."""
    index = TargetIndex(models, row.targets)
    await index.build()
    prompting = Prompting(
        intent=Intent(threshold=INTENT_THRESHOLD),
        grounding=Grounding(threshold=GROUNDING_THRESHOLD),
        targets=row.targets,
    )
    resolver = IntentResolver(models, index, prompting)
    turn = current_turn.read(row.messages, row.targets)
    started = time.perf_counter()
    try:
        decision = await resolver.resolve(turn, await resolver.find_candidates(turn))
    except RoleUnavailable as failure:
        return Outcome(kind=type(failure), exact=False, right_names=False, ms=(time.perf_counter() - started) * 1000)
    ms = (time.perf_counter() - started) * 1000
    calls = [(call.target.name, call.arguments) for call in decision.calls] if isinstance(decision, TargetCalls) else []
    return Outcome(
        kind=type(decision),
        exact=not calls if row.answers is None else bool(calls) and checker.exact(row, calls),
        right_names=sorted(name for name, _ in calls) == row.right_names,
        ms=ms,
    )


def line(category: str, part: str, outcomes: Sequence[Outcome]) -> list[object]:
    """Returns a row of the table. For irrelevance, exact means that nothing is called."""
    count = len(outcomes)
    kinds = [
        sum(each.kind is kind for each in outcomes) / count for kind in (Clarification, NoTargetCall, RoleUnavailable)
    ]
    called = [each for each in outcomes if each.kind is TargetCalls]
    right = sum(each.exact for each in called) / len(called) if called and "irrelevance" not in category else "-"
    return [
        category,
        part,
        count,
        sum(each.exact for each in outcomes) / count,
        "-" if "irrelevance" in category else sum(each.right_names for each in outcomes) / count,
        right,
        *kinds,
        f"{statistics.median(each.ms for each in outcomes):.0f}",
    ]


def both(test: Sequence[object], seen: Sequence[object]) -> list[object]:
    """Returns the row of the means of both halves; the halves have equal weight, whatever their sample sizes."""
    means = [
        (a + b) / 2 if isinstance(a, float) and isinstance(b, float) else "-"
        for a, b in zip(test[3:-1], seen[3:-1], strict=True)
    ]
    return [test[0], "both", "", *means, ""]


async def measure(models: Models) -> Section:
    """Returns the section of docs/quality.md."""
    checker = Checker()
    lines = []
    for category in (*_CATEGORIES, *_OTHERS):
        seen, unseen = halves(bfcl.rows(category))
        parts = [("test", unseen), ("seen", sample(seen, _SEEN))]
        if category in _OTHERS:
            parts = [("test", sample(unseen, _SAMPLE))]
        measured = [line(category, part, [await outcome(models, checker, row) for row in rows]) for part, rows in parts]
        lines += [*measured, both(*measured)] if len(measured) == 2 else measured
    head = (
        "category",
        "part",
        "n",
        "exact",
        "right names",
        "exact of the called",
        "clarified",
        "no call",
        "failed",
        "p50, ms",
    )
    return Section("functions", "Function calling", f"{_TEXT}\n\n{table(head, lines)}")


_TEXT: Final = f"""\
BFCL v4 (`bfcl-eval`, Apache-2.0), judged by its official AST checker. Each row's own functions are the prompt targets;
types, enums, defaults and list items are declared as in `arch_config.yaml`; the keys of objects are in the
descriptions. The pipeline is the gateway's: embeddings select candidates, Needle on Triton makes calls, and arguments
are typed, checked and grounded.

*exact*: all right calls with right arguments, and no others. A clarification is never exact. For irrelevance: no call.
*clarified*: the gateway asks the user for values. Rules and thresholds were chosen on every second row (*seen*, here a
sample of {_SEEN}). *test* is the other half: all rows of the categories with a target figure, {_SAMPLE} rows of the
others. *both* is the mean of the halves. In a row's time, the function model also reads the tools; a
gateway does that once, not for every prompt."""

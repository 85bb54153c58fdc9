"""From which confidence a call of the function model counts, with the intent in front of it as the gateway has it.
Prints a table; see docs/models.md.

    python -m training.function_confidence [COUNT]

Positives: BFCL "multiple", where the best target by embedding is the right one. Negatives: BFCL "irrelevance". A random
COUNT (70) of each: a call takes a third of a second.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.models.prepare import prepare
from training import sources
from training.intent_threshold import words
from triton_models.embed.encoder import Encoder
from triton_models.function.caller import Caller
from triton_models.function.needle import Engines

# BFCL names types as Python does.
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "any": "string"}

# (least intent score, least confidence, intent score from which a guess is asked about; over 1: never)
_RULES = [(0.30, 0.0, 2.0), (0.30, 0.1, 2.0), (0.30, 0.1, 0.6), (0.30, 0.1, 0.4), (0.30, 0.2, 0.4), (0.40, 0.1, 0.4)]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One prompt with its best target: the intent score, and what the function model made of it."""

    positive: bool
    score: float
    called: bool
    confidence: float
    missing: bool


def outcomes(count: int) -> Iterator[Outcome]:
    """Every sampled prompt's outcome."""
    paths = prepare(("embed", "function"))
    encoder, caller = Encoder(paths["minilm"]), Caller(Engines(paths["needle"], 1), 160)
    right = {row["id"]: next(iter(row["ground_truth"][0])) for row in sources.bfcl_answers("multiple")}
    draw = random.Random(1)  # noqa: S311 - a reproducible sample, no secret
    for name in ("multiple", "irrelevance"):
        for row in draw.sample(sources.bfcl(name), count):
            prompt = "\n".join(turn["content"] for turn in row["question"][0])
            vector = encoder.encode(prompt)
            scored = [(float(encoder.encode(_text(each)) @ vector), each) for each in row["function"]]
            score, best = max(scored, key=lambda pair: pair[0])
            if name == "multiple" and best["name"] != right[row["id"]]:
                continue
            request = {"messages": [{"role": "user", "content": prompt}], "tools": [_tool(best)]}
            answer = json.loads(caller.reply(json.dumps(request)))
            given = answer["tool_calls"][0]["arguments"] if answer["tool_calls"] else {}
            missing = any(each not in given for each in best["parameters"].get("required", []))
            yield Outcome(name == "multiple", score, bool(answer["tool_calls"]), answer["confidence"], missing)


def _text(function: Mapping[str, Any]) -> str:
    return f"{words(function['name'])}: {function['description']}"


def _tool(function: Mapping[str, Any]) -> dict[str, Any]:
    described = {"name": function["name"], "description": function["description"]}
    return {"type": "function", "function": {**described, "parameters": _schema(function["parameters"])}}


def _schema(value: Any) -> Any:
    if isinstance(value, list):
        return [_schema(each) for each in value]
    if not isinstance(value, dict):
        return value
    schema = {name: _schema(each) for name, each in value.items()}
    if isinstance(schema.get("type"), str):
        schema["type"] = _TYPES.get(schema["type"], schema["type"])
    return schema


def decided(outcome: Outcome, least: float, confidence: float, sure: float) -> str:
    """What the gateway does: call, ask or nothing."""
    if outcome.score < least or not outcome.called:
        return "nothing"
    if outcome.confidence >= confidence:
        return "ask" if outcome.missing else "call"
    return "ask" if outcome.score >= sure else "nothing"


def main() -> None:
    """Prints the table."""
    rows = list(outcomes(int(sys.argv[1]) if len(sys.argv) > 1 else 70))
    print("| score | confidence | sure | prompts | call | ask | nothing |\n|---|---|---|---|---|---|---|")
    for rule in _RULES:
        for positive in (True, False):
            counts = Counter(decided(row, *rule) for row in rows if row.positive is positive)
            shares = " | ".join(f"{counts[what] / counts.total():.2f}" for what in ("call", "ask", "nothing"))
            least, confidence, sure = rule
            never = "never" if sure > 1 else f"{sure:.1f}"
            name = f"{'right' if positive else 'irrelevant'} ({counts.total()})"
            print(f"| {least:.2f} | {confidence:.1f} | {never} | {name} | {shares} |")


if __name__ == "__main__":
    main()

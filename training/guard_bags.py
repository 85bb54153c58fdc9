"""The labelled texts of the guard's encoder, cut as the gateway cuts them, with a split by source.

    python -m training.guard_bags --data FOLDER --rows FOLDER --out bags.jsonl

`--data`: public texts, `guard_attacks.jsonl.gz` and `guard_benign.jsonl.gz`. `--rows`: what guard_data.py wrote.
Used by guard_fit.py and guard_thresholds.py.

A source is in one part only: it is trained on, or chosen on (`dev`), or reported (`test`).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from controlplane.models.prepare import prepare
from extproc.pipeline.guard.chunking import chunks
from extproc.pipeline.guard.decoded_variants import decoded_variants
from training import guard_texts
from training.datasets import Text
from training.synthetic import synthetic_texts
from triton_models.guard.detector import OVERLAP, WINDOW
from triton_models.guard.window_tokens import ROLE_WORDS, WindowTokenizer
from triton_models.guard.windows import windows

TEST_SOURCES: Final = frozenset(
    {
        "ReversecLabs/spikee",
        "Azure/PyRIT",
        "Giskard-AI/prompt-injections",
        "hackaprompt/hackaprompt-dataset",
        "LAION-AI/Open-Assistant",
        "Yale-LILY/QMSum",
        "agentgateway/agentgateway",
        "encode/httpx",
        "f/awesome-chatgpt-prompts",
        "danielmiessler/fabric",
        "vllm-project/semantic-router",
        "deadbits/vigil-llm",
        "swisskyrepo/PayloadsAllTheThings",
    }
)
DEV_SOURCES: Final = frozenset(
    {
        "AUTHENSOR/prompt-injection-benchmark",
        "mik0w/pallms",
        "protectai/llm-guard",
        "compass-ctf-team/prompt_injection_research",
        "microsoft/llmail-inject-challenge",
        "ServiceNow/DoomArena",
        "yjw1029/Self-Reminder-Data",
        "sherdencooper/GPTFuzz",
        "microsoft/JARVIS",
        "open-telemetry/semantic-conventions",
        "encode/uvicorn",
        "confident-ai/deepteam",
        "lve-org/lve",
        "OWASP/CheatSheetSeries",
        "tangqiaoyu/ToolAlpaca",
        "PlexPt/awesome-chatgpt-prompts-zh",
    }
)
GENERATED: Final = ("framework_prompts", "third_party_pairs", "multilingual", "hard_benign")
# Harmful goals in fiction or research wording: with full weight, every harmless role play would be flagged.
_FRAMING: Final = {
    "allenai/wildjailbreak": 0.3,
    "usail-hkust/JailTrickBench": 0.3,
    "Beijing-AISI/ForesightSafety-Bench": 0.4,
}
_PACKAGES_WEIGHT: Final = 0.7
_ROLES: Final = {
    "document": "document",
    "code": "document",
    "commit_message": "document",
    "document_with_insertion": "document",
    "tool_json": "tools",
    "system_prompt": "system",
}
_PACKAGED_ROLES: Final = {
    "mailboxes": "tool",
    "agents": "tool",
    "tools": "tools",
    "latent": "document",
    "hidden": "document",
}
_MAX_CHARS: Final = 40_000
_MAX_ATTACK_WINDOWS, _MAX_HARMLESS_WINDOWS = 6, 3
_MAX_SYNTHETIC_OF_A_KIND: Final = 250
_FORGED: Final = 0.3  # share of users' attacks that also come as a system message or a tool's definition
# 1 of 32 pairs and generated texts, and 1 of 10 kinds of synthetic texts, are for dev.
_DEV_ROWS, _DEV_KINDS = 8, 25


@dataclass(frozen=True, slots=True)
class Bag:
    """The windows of one text. The text is an attack if one of its windows is (multiple-instance learning).

    `pair`: texts that differ in one sentence have the same. `weight`: of an attack, when attacks are drawn.
    """

    role: str
    label: int
    source: str
    kind: str
    split: str
    pair: str | None = None
    weight: float = 1.0
    id: int = -1
    windows: list[str] = field(default_factory=list)


class Bags:
    """Collects the bags of these splits. Seeded."""

    def __init__(self, tokens: WindowTokenizer, splits: Collection[str] = ("train", "dev", "test")) -> None:
        self._tokens = tokens
        self._splits = splits
        self._random = random.Random(7)  # noqa: S311 - reproducible, no secret
        self.all: list[Bag] = []

    def public(self, data: Path) -> None:
        """Adds the public texts."""
        for row in _lines(data / "guard_attacks.jsonl.gz"):
            self._attack(row)
        for row in _lines(data / "guard_benign.jsonl.gz"):
            self._harmless(row)

    def packaged(self) -> None:
        """Adds the synthetic texts, and those of guard_texts.py: its test texts are test texts here too."""
        counts: Counter[tuple[str, str]] = Counter()
        for text in synthetic_texts():
            counts[text.group, text.category] += 1
            if counts[text.group, text.category] <= _MAX_SYNTHETIC_OF_A_KIND:
                split = "dev" if _byte(text.category) < _DEV_KINDS else "train"
                source = f"synthetic:{text.group}"
                bag = Bag("user", int(text.attack), source, text.category, split, weight=_PACKAGES_WEIGHT)
                self._add(text.text, bag)
        for text in guard_texts.texts():
            if (text.group, text.category) not in counts:
                self._packaged(text, f"packages:{text.group}", "train", _PACKAGES_WEIGHT)
        for text in guard_texts.reported():
            self._packaged(text, f"report:{text.group}", "test", 1.0)

    def _packaged(self, text: Text, source: str, split: str, weight: float) -> None:
        role = _PACKAGED_ROLES.get(text.group, "user")
        self._add(text.text, Bag(role, int(text.attack), source, text.category, split, weight=weight))

    def generated(self, folder: Path) -> None:
        """Adds the rows that guard_data.py wrote."""
        for name in GENERATED:
            self.rows(name, _lines(folder / f"{name}.jsonl"))

    def rows(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Adds rows of one maker of guard_data.py."""
        for row in rows:
            pair = row.get("pair")
            split = "test" if row.get("test") else "dev" if _byte(pair or row["text"]) < _DEV_ROWS else "train"
            role = row["role"] if row["role"] in ROLE_WORDS else "user"
            source = f"{name}:{row['source']}"
            bag = Bag(role, row["label"], source, row["kind"], split, pair=pair and f"{name}:{pair}")
            self._add(row["text"], bag, _MAX_HARMLESS_WINDOWS)

    def _attack(self, row: Mapping[str, Any]) -> None:
        source, kind = row["source"], row["kind"]
        split = _split(source)
        if not row.get("carrier_kind"):
            self._add(row["text"], Bag("user", 1, source, kind, split, weight=_FRAMING.get(source, 1.0)))
            return
        role = "tool" if "tool" in row["carrier_kind"] else "document"
        self._add(row["text"], Bag(role, 1, source, kind, split, weight=0.7))
        if self._random.random() < 0.5:  # a user may paste it, too
            self._add(row["text"], Bag("user", 1, source, kind, split, weight=0.5))

    def _harmless(self, row: Mapping[str, Any]) -> None:
        source, kind = row["source"], row["kind"]
        role = _ROLES.get(kind, "user")
        split, draw = _split(source), self._random.random
        if kind == "persona" and draw() < 0.3:
            role = "system"
        if kind == "normal" and split == "train" and draw() < 0.45:  # these are many and easy
            return
        if kind == "document_with_insertion" and "tool" in str(row.get("carrier_kind")):
            role = "tool"
        if role in {"document", "tools", "system"} and draw() < 0.35:
            role = "user"
        if role == "document" and draw() < 0.3:
            role = "tool"
        self._add(row["text"], Bag(role, 0, source, kind, split), _MAX_HARMLESS_WINDOWS)

    def _add(self, text: str, bag: Bag, limit: int = _MAX_ATTACK_WINDOWS) -> None:
        if bag.split not in self._splits:
            return
        cut = [window for window in dict.fromkeys(self._windows(text.strip()[:_MAX_CHARS])) if window.strip()]
        if bag.split == "train" and len(cut) > limit:
            cut = [cut[0], cut[-1], *self._random.sample(cut[1:-1], limit - 2)]
        if not cut:
            return
        self.all.append(replace(bag, id=len(self.all), windows=cut))
        if bag.label and bag.role == "user" and bag.split != "test" and self._random.random() < _FORGED:
            # Anybody may send a message that claims to be the operator's.
            role = self._random.choice(("system", "tools"))
            self.all.append(replace(bag, id=len(self.all), windows=cut, role=role))

    def _windows(self, text: str) -> Iterator[str]:
        for variant in decoded_variants(text):
            for chunk in chunks(variant):
                yield from windows(chunk, self._tokens.spans, WINDOW, OVERLAP)


def load(path: Path) -> list[Bag]:
    """Reads what `main` wrote."""
    with path.open(encoding="utf-8") as file:
        return [Bag(**json.loads(line)) for line in file]


def _split(source: str) -> str:
    return "test" if source in TEST_SOURCES else "dev" if source in DEV_SOURCES else "train"


def _byte(text: str) -> int:
    return hashlib.sha256(text.encode()).digest()[0]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    raw = path.read_bytes()
    lines = (gzip.decompress(raw) if path.suffix == ".gz" else raw).split(b"\n")
    yield from (json.loads(line) for line in lines if line)


def main() -> int:
    parser = argparse.ArgumentParser(description="Cuts the labelled texts of the guard's encoder.")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    bags = Bags(WindowTokenizer(prepare(("guard",))["minilm-guard"] / "tokenizer.json"))
    bags.public(arguments.data)
    bags.packaged()
    bags.generated(arguments.rows)
    with arguments.out.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(asdict(bag)) + "\n" for bag in bags.all)
    print(f"{len(bags.all)} texts, {sum(len(bag.windows) for bag in bags.all)} windows")
    return 0


if __name__ == "__main__":
    sys.exit(main())

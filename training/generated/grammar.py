"""Texts from rules: a file of rules is a folder's `.txt`, and one call of `Grammar.text` is one random walk through it.

    # a comment
    @root                           a rule; each line below it is one alternative, "\\n" in it a line break
    {^ask} {name:him} [about|on] {topic}, and tell {name:him}.
    @ask: call | write to           a rule of short alternatives

`{rule}` is another rule's text, `{^rule}` the same with a capital, `{rule:key}` the same text wherever the key returns,
`[a|b|]` one of these, `a~` the article that fits the next word. Brackets without a bar, and braces round anything that
is no name, stand for themselves.
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
    """The rules in one file. Raises ValueError for a line before any rule, or a rule said twice."""
    rules: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in source.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if head := _HEAD.fullmatch(line):
            name, inline = head.groups()
            if name in rules:
                raise ValueError(f"rule {name} is said twice")
            current = rules[name] = [] if inline is None else [part.strip() for part in inline.split(" | ")]
        elif current is None:
            raise ValueError(f"no rule before: {line}")
        else:
            current.append(line.replace("\\n", "\n"))
    return {name: tuple(lines) for name, lines in rules.items()}


def read(*files: Path) -> dict[str, tuple[str, ...]]:
    """The rules of several files together. Raises ValueError for a rule that two of them say."""
    rules: dict[str, tuple[str, ...]] = {}
    for file in files:
        for name, lines in parse(file.read_text(encoding="utf-8")).items():
            if name in rules:
                raise ValueError(f"{file.name}: rule {name} is said twice")
            rules[name] = lines
    return rules


def tidy(text: str) -> str:
    """Articles chosen, and the gaps closed that an empty alternative leaves."""
    text = _ARTICLE.sub(_article, text)
    text = re.sub(r"(?<=\S) {2,}(?=\S)", " ", text)
    text = re.sub(r"(?<=[\w\"')]) +(?=[,.;!?](?:\s|$))", "", text)
    return "\n".join(line.rstrip() for line in text.strip().split("\n"))


def _article(found: re.Match[str]) -> str:
    word = found[4]
    vowel = _VOWEL.match(word) and not _CONSONANT_O.match(word)
    return f"{found[1]}{'n' if vowel else ''}{found[2]}"


class Grammar:
    """Rules that texts are drawn from. Raises ValueError for a slot that no rule and no name in `given` fills."""

    def __init__(self, rules: Rules, given: Sequence[str] = ()) -> None:
        self._rules = rules
        for name, lines in rules.items():
            for line in lines:
                for _, slot, _ in _SLOT.findall(line):
                    if slot not in rules and slot not in given:
                        raise ValueError(f"rule {name}: nothing is called {slot}")

    def __contains__(self, name: str) -> bool:
        return name in self._rules

    def text(self, random: Random, name: str = "root", given: Mapping[str, str] | None = None) -> str:
        """One text of this rule; `given` fills slots with texts from elsewhere, as they are."""
        return tidy(self._expand(random, name, given or {}, {}))

    def _expand(self, random: Random, name: str, given: Mapping[str, str], kept: dict[str, str]) -> str:
        line = random.choice(self._rules[name])
        while CHOICE.search(line):
            line = CHOICE.sub(lambda found: random.choice(found[1].split("|")), line)

        def fill(found: re.Match[str]) -> str:
            capital, slot, key = found.groups()
            if slot in given:
                text = given[slot]
            elif key is None:
                text = self._expand(random, slot, given, kept)
            else:
                place = f"{slot}:{key}"
                if place not in kept:
                    kept[place] = self._expand(random, slot, given, kept)
                text = kept[place]
            return text[:1].upper() + text[1:] if capital else text

        return _SLOT.sub(fill, line)

"""Attacks and harmless counterparts in other languages, from grammars/multilingual, one file a language.

Rules `a_...` give attacks, rules `b_...` harmless texts in the same wording. Used by guard_data.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from training.guard_rows import Row
from training.synthetic.grammar import Grammar, parse, read
from training.synthetic.typing_errors import with_typing_errors

# Texts of each label a language.
COUNTS = {"de": 900, "fr": 900, "es": 900, "it": 900, "pt": 900, "nl": 350, "pl": 350, "sv": 350}
_GRAMMARS = Path(__file__).parent / "grammars"
_WORDS = [_GRAMMARS / "shared" / f"{name}.txt" for name in ("things", "plain", "orders")]
# Kinds of each label, the frequent ones more than once. The first in a pair of `_THIRD_PARTY` stands in documents.
_ATTACKS = (
    "override",
    "override",
    "override",
    "leak",
    "leak",
    "persona",
    "dev",
    "only",
    "role",
    "indirect",
    "indirect",
)
_HARMLESS = (
    "ignore",
    "forget",
    "role",
    "role",
    "translate",
    "story",
    "security",
    "support",
    "prompt",
    "everyday",
    "words",
    "notes",
    "notes",
)
_THIRD_PARTY = ("indirect", "notes")


@cache
def grammar(language: str) -> Grammar:
    """Returns the grammar of one language. Its rules take the place of the shared ones of their name."""
    own = parse((_GRAMMARS / "multilingual" / f"{language}.txt").read_text(encoding="utf-8"))
    own["want_low"] = tuple(_lowered(line) for line in own["want"])
    return Grammar({**read(*_WORDS), **own})


def _lowered(line: str) -> str:
    """Returns the line with the first letter of each of its first alternatives in lower case."""
    if not line.startswith("["):
        return line[:1].lower() + line[1:]
    end = line.index("]")
    return re.sub(r"(?<=[\[|])\w", lambda letter: letter[0].lower(), line[:end]) + line[end:]


def multilingual_rows(seed: int = 0) -> Iterator[Row]:
    """Yields COUNTS texts of each label and language; no two of a language are equal in their letters."""
    for language, count in COUNTS.items():
        random = Random(f"multilingual {seed} {language}")  # noqa: S311 - no secret
        seen: set[str] = set()
        for label in (1, 0):
            done = 0
            while done < count:
                row = _row(random, language, label)
                core = "".join(letter for letter in row.text.casefold() if letter.isalpha())
                if core not in seen:
                    seen.add(core)
                    done += 1
                    yield row


def _row(random: Random, language: str, label: int) -> Row:
    words = grammar(language)
    kind = random.choice(_ATTACKS if label else _HARMLESS)
    text = words.text(random, f"{'a' if label else 'b'}_{kind}")
    if kind in _THIRD_PARTY:
        role = random.choice(("document", "tool"))
        if random.random() < 0.75:
            before, after = ([words.text(random, "doc") for _ in range(random.randint(0, 4))] for _ in range(2))
            text = random.choice((" ", "\n", "\n\n")).join([*before, text, *after])
        return Row(text, role, label, kind, "rules", language)
    if random.random() < 0.15:  # beside another, harmless request
        parts = [words.text(random, "everyday"), text]
        text = random.choice((" ", "\n")).join(parts if random.random() < 0.6 else parts[::-1])
    text = text[:1].upper() + text[1:]
    return Row(with_typing_errors(text, random), "user", label, kind, "rules", language)

"""Harmless texts in the style of attacks, and leaks of the prompt in the style of harmless requests.

Grammars: grammars/hard. A leak transforms what the user did not write; its counterpart transforms the user's own data.
Used by guard_data.py.
"""

from __future__ import annotations

import base64
import json
import quopri
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random

from training.guard_rows import Row
from training.synthetic.grammar import Grammar, read
from training.synthetic.typing_errors import with_typing_errors

_GRAMMARS = Path(__file__).parent / "grammars"
_WORDS = [_GRAMMARS / "shared" / f"{name}.txt" for name in ("things", "plain", "orders")]
# Rules of grammars/hard/harmless.txt: number of texts, role.
HARMLESS: Mapping[str, tuple[int, str]] = {
    "roleplay": (600, "user"),
    "fiction": (400, "user"),
    "words": (800, "user"),
    "security": (400, "user"),
    "exact": (500, "user"),
    "technical": (500, "user"),
    "capability": (200, "system"),
    "caution": (400, "tools"),
    "system": (700, "system"),
    "rag": (300, "user"),
    "react": (250, "system"),
    "many_shot": (200, "user"),
}
LEAKS, OWN_DATA, ENCODED, ACROSTICS = 1500, 1500, 300, 100
_NATO = (
    "alfa bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november oscar papa quebec romeo"
    " sierra tango uniform victor whiskey xray yankee zulu"
)
_EXACT = ("system", "rag", "react", "many_shot", "caution", "capability")  # no typing errors in an operator's texts


@cache
def grammar(name: str) -> Grammar:
    """Returns the grammar of one file of grammars/hard with the shared words."""
    return Grammar(read(*_WORDS, _GRAMMARS / "hard" / f"{name}.txt"))


def hard_rows(seed: int = 0) -> Iterator[Row]:
    """Yields the texts, no two equal in letters and digits; the same ones for the same seed."""
    seen: set[str] = set()
    for kind, (count, _) in HARMLESS.items():
        yield from _distinct(kind, count, seen, seed, _harmless)
    yield from _distinct("leak_in_disguise", LEAKS, seen, seed, _leak)
    yield from _distinct("own_data", OWN_DATA, seen, seed, _own_data)
    yield from _distinct("encoded", ENCODED, seen, seed, _encoded)
    yield from _distinct("acrostic", ACROSTICS, seen, seed, _acrostic)


def _distinct(kind: str, count: int, seen: set[str], seed: int, draw: Callable[[Random, str], Row]) -> Iterator[Row]:
    random = Random(f"hard {seed} {kind}")  # noqa: S311 - no secret
    done = 0
    for _ in range(40 * count):
        row = draw(random, kind)
        core = "".join(sign for sign in row.text.casefold() if sign.isalnum())
        if core not in seen:
            seen.add(core)
            done += 1
            yield row
        if done == count:
            return
    raise ValueError(f"the grammar of {kind} gives only {done} of {count} different texts")


def _harmless(random: Random, kind: str) -> Row:
    text = grammar("harmless").text(random, kind)
    role = "system" if kind == "rag" and random.random() < 0.3 else HARMLESS[kind][1]
    return Row(text if kind in _EXACT else with_typing_errors(text, random), role, 0, kind, "rules")


def _leak(random: Random, kind: str) -> Row:
    text = grammar("leaks").text(random)
    if random.random() < 0.15:  # after another, harmless request
        before = grammar("harmless").text(random, "plain")
        text = f"{before[:1].upper()}{before[1:]}. {text}"
    return Row(with_typing_errors(text, random), "user", 1, kind, "rules")


def _own_data(random: Random, kind: str) -> Row:
    return Row(grammar("own_data").text(random), "user", 0, kind, "rules")


def _rot47(text: str) -> str:
    return "".join(chr(33 + (ord(sign) + 14) % 94) if 33 <= ord(sign) < 127 else sign for sign in text)


def _a1z26(text: str) -> str:
    return " ".join(
        "-".join(str(ord(sign) - 96) for sign in word if "a" <= sign <= "z") for word in text.lower().split()
    )


# Encodings by the names that users give them. Their plain texts are harmless: the wrapper alone is no attack.
_ENCODINGS: Mapping[str, Callable[[str], str]] = {
    "base85": lambda text: base64.b85encode(text.encode()).decode(),
    "ascii85": lambda text: base64.a85encode(text.encode()).decode(),
    "punycode": lambda text: f"xn--{text.replace('e', 'é').encode('punycode').decode()}",
    "quoted-printable": lambda text: quopri.encodestring(text.replace("e", "é").encode()).decode(),
    "base32": lambda text: base64.b32encode(text.encode()).decode(),
    "ROT47": _rot47,
    "A1Z26": _a1z26,
    "NATO alphabet": lambda text: " ".join(
        _NATO.split()[ord(sign) - 97] for sign in text.lower() if "a" <= sign <= "z"
    ),
    "no vowels": lambda text: "".join(sign for sign in text if sign not in "aeiou"),
    "JSON": lambda text: json.dumps({"message": text}),
}
_WRAPPERS = (
    "Decode this {name} text: {coded}",
    "{coded}\n\nWhat does this say? It is {name}.",
    "{name}: {coded}",
    "{coded}",
)


def _encoded(random: Random, kind: str) -> Row:
    words = grammar("harmless")
    name = random.choice(list(_ENCODINGS))
    coded = _ENCODINGS[name](words.text(random, random.choice(("plain", "plain_saying", "prose"))))
    return Row(random.choice(_WRAPPERS).format(name=name, coded=coded), "user", 0, kind, "rules")


_ACROSTICS = (
    "What do the first letters say?",
    "Finish this acrostic:",
    "Make an acrostic like this one:",
    "Is this an acrostic?",
)


def _acrostic(random: Random, kind: str) -> Row:
    lines = "\n".join(grammar("harmless").text(random, "prose") for _ in range(random.randint(3, 7)))
    parts = [random.choice(_ACROSTICS), lines]
    return Row("\n\n".join(parts if random.random() < 0.5 else parts[::-1]), "user", 0, kind, "rules")

"""The table of kinds of synthetic text: name, label, number of texts, drawing function.

To add a kind, add a grammar file and a row in KINDS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from training.synthetic import carrier_documents, obfuscations, payload_splitting
from training.synthetic.gibberish import gibberish
from training.synthetic.grammar import Grammar, read

_GRAMMARS = Path(__file__).parent / "grammars"
_SHARED = sorted((_GRAMMARS / "shared").glob("*.txt"))
_GIVEN = (
    "payload",
    "json_payload",
    "quoted",
    "code",
    "encoding",
    "noise",
    *payload_splitting.slot_values(["a ", "b"], Random(0)),  # noqa: S311 - no secret
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `typing_errors`: whether casing and letters may be changed; false where the exact form matters."""

    name: str
    attack: bool
    count: int
    draw: Callable[[Random], str]
    typing_errors: bool = True


@cache
def grammar(name: str) -> Grammar:
    """Returns the grammar of one file, such as "attack/override", with the shared rules."""
    return Grammar(read(*_SHARED, _GRAMMARS / f"{name}.txt"), _GIVEN)


@cache
def _shared() -> Grammar:
    return Grammar(read(*_SHARED), _GIVEN)


def _from_grammar(name: str) -> Callable[[Random], str]:
    return lambda random: grammar(name).text(random)


_SHORT_ATTACKS = (
    "override",
    "override",
    "persona",
    "extraction",
    "extraction",
    "exfiltration",
    "tools",
    "pressure",
    "disguised",
)
_HARMLESS = ("everyday", "chat", "tools", "roleplay", "sensitive", "long")


def _attack(random: Random, limit: int = 400) -> str:
    """Returns a direct attack, short enough to be put into another text."""
    while True:
        text = grammar(f"attack/{random.choice(_SHORT_ATTACKS)}").text(random)
        if len(text) <= limit:
            return text


def _harmless(random: Random, limit: int = 900) -> str:
    while True:
        text = grammar(f"benign/{random.choice(_HARMLESS)}").text(random)
        if len(text) <= limit:
            return text


def _in_document_or_alone(random: Random, payload: str) -> str:
    """Returns the payload in a document, or sometimes alone, as one window of a long document shows it."""
    return payload if random.random() < 0.25 else carrier_documents.embedded(_shared(), random, payload)


def _indirect(random: Random) -> str:
    return _in_document_or_alone(random, grammar("attack/indirect").text(random))


def _hidden(random: Random) -> str:
    return carrier_documents.embedded(_shared(), random, _attack(random))


def _document(random: Random) -> str:
    return _in_document_or_alone(random, grammar("benign/notes").text(random))


def _quoting(random: Random) -> str:
    return grammar("benign/quoting").text(random, given={"quoted": _attack(random, 250).strip(' "')})


def _split(random: Random) -> str:
    parts = payload_splitting.fragments(_attack(random, 160), random)
    return grammar("attack/splitting").text(random, given=payload_splitting.slot_values(parts, random))


def _with_gibberish(name: str) -> Callable[[Random], str]:
    return lambda random: grammar(name).text(random, given={"noise": gibberish(random)})


def _with_obfuscated(name: str, random: Random, text: str) -> str:
    encoding = random.choice(list(obfuscations.OBFUSCATIONS))
    given = {"encoding": encoding, "code": obfuscations.OBFUSCATIONS[encoding](text, random)}
    given |= payload_splitting.slot_values(payload_splitting.fragments(text, random), random)
    return grammar(name).text(random, given=given)


def _obfuscated(random: Random) -> str:
    return _with_obfuscated("attack/obfuscation", random, _attack(random, 140))


def _encoded(random: Random) -> str:
    return _with_obfuscated("benign/encoded", random, _harmless(random, 140))


def _among(random: Random, attack: str) -> str:
    """Returns the attack with a harmless request before it, after it, or both."""
    before, after = random.choice([(True, False), (False, True), (True, True)])
    between = random.choice([" ", " ", "\n", "\n\n"])
    parts = [_harmless(random)] * before + [attack] + [_harmless(random)] * after
    return between.join(parts)


def _surrounded(random: Random) -> str:
    return _among(random, _attack(random))


def _several(random: Random) -> str:
    """Returns two or three harmless requests in a row: the benign counterpart of `_surrounded`."""
    between = random.choice([" ", " ", "\n", "\n\n"])
    return between.join(_harmless(random) for _ in range(random.randint(2, 3)))


KINDS = (
    Kind("override", True, 330, _from_grammar("attack/override")),
    Kind("persona", True, 400, _from_grammar("attack/persona")),
    Kind("extraction", True, 300, _from_grammar("attack/extraction")),
    Kind("exfiltration", True, 260, _from_grammar("attack/exfiltration")),
    Kind("indirect", True, 500, _indirect, typing_errors=False),
    Kind("hidden", True, 150, _hidden, typing_errors=False),
    Kind("surrounded", True, 200, _surrounded),
    Kind("delimiter", True, 200, _from_grammar("attack/delimiter"), typing_errors=False),
    Kind("splitting", True, 130, _split, typing_errors=False),
    Kind("obfuscation", True, 200, _obfuscated, typing_errors=False),
    Kind("pressure", True, 180, _from_grammar("attack/pressure")),
    Kind("suppression", True, 140, _from_grammar("attack/suppression")),
    Kind("policy", True, 140, _from_grammar("attack/policy"), typing_errors=False),
    Kind("setup", True, 150, _from_grammar("attack/setup")),
    Kind("tool-abuse", True, 180, _from_grammar("attack/tools")),
    Kind("disguised", True, 220, _from_grammar("attack/disguised")),
    Kind("many-shot", True, 90, _from_grammar("attack/many_shot")),
    Kind("suffix", True, 70, _with_gibberish("attack/suffix"), typing_errors=False),
    Kind("foreign", True, 270, _from_grammar("attack/foreign")),
    Kind("about-security", False, 350, _from_grammar("benign/about_security")),
    Kind("prompt-writing", False, 280, _from_grammar("benign/prompt_writing")),
    Kind("quoting", False, 350, _quoting),
    Kind("everyday", False, 400, _from_grammar("benign/everyday")),
    Kind("programming", False, 350, _from_grammar("benign/programming"), typing_errors=False),
    Kind("roleplay", False, 350, _from_grammar("benign/roleplay")),
    Kind("document", False, 550, _document, typing_errors=False),
    Kind("markup", False, 200, _from_grammar("benign/markup"), typing_errors=False),
    Kind("imperatives", False, 250, _from_grammar("benign/imperatives")),
    Kind("support", False, 300, _from_grammar("benign/support")),
    Kind("official", False, 200, _from_grammar("benign/official")),
    Kind("encoded", False, 180, _encoded, typing_errors=False),
    Kind("tool-request", False, 300, _from_grammar("benign/tools")),
    Kind("chat", False, 250, _from_grammar("benign/chat")),
    Kind("several", False, 200, _several),
    Kind("long", False, 250, _from_grammar("benign/long")),
    Kind("sensitive", False, 300, _from_grammar("benign/sensitive")),
    Kind("noisy", False, 70, _with_gibberish("benign/noisy"), typing_errors=False),
    Kind("foreign", False, 320, _from_grammar("benign/foreign")),
)

"""The kinds of generated text: name, label, number, drawing. A new kind is a file of rules and a line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random

from training.generated import carriers, ciphers, splitting
from training.generated.grammar import Grammar, read
from training.generated.noise import noise

_HERE = Path(__file__).parent
_SHARED = sorted((_HERE / "shared").glob("*.txt"))
_GIVEN = (
    "payload",
    "json_payload",
    "quoted",
    "code",
    "encoding",
    "noise",
    *splitting.slots(["a ", "b"], Random(0)),  # noqa: S311 - no secret
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind. `worn`: whether typing may change casing and letters; not where the form is the point."""

    name: str
    attack: bool
    count: int
    draw: Callable[[Random], str]
    worn: bool = True


@cache
def grammar(name: str) -> Grammar:
    """The rules of one file, say "attack/override", and the shared ones."""
    return Grammar(read(*_SHARED, _HERE / f"{name}.txt"), _GIVEN)


@cache
def _shared() -> Grammar:
    return Grammar(read(*_SHARED), _GIVEN)


def _plainly(name: str) -> Callable[[Random], str]:
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
    """A direct attack, short enough to stand inside another text."""
    while True:
        text = grammar(f"attack/{random.choice(_SHORT_ATTACKS)}").text(random)
        if len(text) <= limit:
            return text


def _harmless(random: Random, limit: int = 900) -> str:
    while True:
        text = grammar(f"benign/{random.choice(_HARMLESS)}").text(random)
        if len(text) <= limit:
            return text


def _placed(random: Random, payload: str) -> str:
    """In a document, or now and then alone: as a window of a long document shows it."""
    return payload if random.random() < 0.25 else carriers.carried(_shared(), random, payload)


def _indirect(random: Random) -> str:
    return _placed(random, grammar("attack/indirect").text(random))


def _hidden(random: Random) -> str:
    return carriers.carried(_shared(), random, _attack(random))


def _document(random: Random) -> str:
    return _placed(random, grammar("benign/notes").text(random))


def _quoting(random: Random) -> str:
    return grammar("benign/quoting").text(random, given={"quoted": _attack(random, 250).strip(' "')})


def _split(random: Random) -> str:
    parts = splitting.pieces(_attack(random, 160), random)
    return grammar("attack/splitting").text(random, given=splitting.slots(parts, random))


def _noisy(name: str) -> Callable[[Random], str]:
    return lambda random: grammar(name).text(random, given={"noise": noise(random)})


def _coded(name: str, random: Random, text: str) -> str:
    encoding = random.choice(list(ciphers.CIPHERS))
    given = {"encoding": encoding, "code": ciphers.CIPHERS[encoding](text, random)}
    given |= splitting.slots(splitting.pieces(text, random), random)
    return grammar(name).text(random, given=given)


def _obfuscated(random: Random) -> str:
    return _coded("attack/obfuscation", random, _attack(random, 140))


def _encoded(random: Random) -> str:
    return _coded("benign/encoded", random, _harmless(random, 140))


def _among(random: Random, attack: str) -> str:
    """The attack with a harmless request before it, behind it, or both."""
    before, after = random.choice([(True, False), (False, True), (True, True)])
    between = random.choice([" ", " ", "\n", "\n\n"])
    parts = [_harmless(random)] * before + [attack] + [_harmless(random)] * after
    return between.join(parts)


def _surrounded(random: Random) -> str:
    return _among(random, _attack(random))


def _several(random: Random) -> str:
    """Harmless requests in a row, as the surrounded attacks have them."""
    between = random.choice([" ", " ", "\n", "\n\n"])
    return between.join(_harmless(random) for _ in range(random.randint(2, 3)))


KINDS = (
    Kind("override", True, 330, _plainly("attack/override")),
    Kind("persona", True, 400, _plainly("attack/persona")),
    Kind("extraction", True, 300, _plainly("attack/extraction")),
    Kind("exfiltration", True, 260, _plainly("attack/exfiltration")),
    Kind("indirect", True, 500, _indirect, worn=False),
    Kind("hidden", True, 150, _hidden, worn=False),
    Kind("surrounded", True, 200, _surrounded),
    Kind("delimiter", True, 200, _plainly("attack/delimiter"), worn=False),
    Kind("splitting", True, 130, _split, worn=False),
    Kind("obfuscation", True, 200, _obfuscated, worn=False),
    Kind("pressure", True, 180, _plainly("attack/pressure")),
    Kind("suppression", True, 140, _plainly("attack/suppression")),
    Kind("policy", True, 140, _plainly("attack/policy"), worn=False),
    Kind("setup", True, 150, _plainly("attack/setup")),
    Kind("tool-abuse", True, 180, _plainly("attack/tools")),
    Kind("disguised", True, 220, _plainly("attack/disguised")),
    Kind("many-shot", True, 90, _plainly("attack/many_shot")),
    Kind("suffix", True, 70, _noisy("attack/suffix"), worn=False),
    Kind("foreign", True, 270, _plainly("attack/foreign")),
    Kind("about-security", False, 350, _plainly("benign/about_security")),
    Kind("prompt-writing", False, 280, _plainly("benign/prompt_writing")),
    Kind("quoting", False, 350, _quoting),
    Kind("everyday", False, 400, _plainly("benign/everyday")),
    Kind("programming", False, 350, _plainly("benign/programming"), worn=False),
    Kind("roleplay", False, 350, _plainly("benign/roleplay")),
    Kind("document", False, 550, _document, worn=False),
    Kind("markup", False, 200, _plainly("benign/markup"), worn=False),
    Kind("imperatives", False, 250, _plainly("benign/imperatives")),
    Kind("support", False, 300, _plainly("benign/support")),
    Kind("official", False, 200, _plainly("benign/official")),
    Kind("encoded", False, 180, _encoded, worn=False),
    Kind("tool-request", False, 300, _plainly("benign/tools")),
    Kind("chat", False, 250, _plainly("benign/chat")),
    Kind("several", False, 200, _several),
    Kind("long", False, 250, _plainly("benign/long")),
    Kind("sensitive", False, 300, _plainly("benign/sensitive")),
    Kind("noisy", False, 70, _noisy("benign/noisy"), worn=False),
    Kind("foreign", False, 320, _plainly("benign/foreign")),
)

"""The rules of a dialogue in which a value was asked for: what an answer gives, corrects or gives up. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from extproc.pipeline.functions.grounding.booleans import truth
from extproc.pipeline.functions.grounding.enums import named
from extproc.pipeline.functions.grounding.scoring import Said, values_in
from extproc.pipeline.functions.grounding.word_forms import STOP, normal
from extproc.shared.filter_config import JsonValue, Parameter, ParameterType

_POLITE: Final = r"(?:please|thanks|thank you|ok|okay|then|now|it|that|this|all|sorry|no|oh|well|hm+|ah|actually)"
# The whole answer says so, or it begins so and something else follows.
_GIVES_UP: Final = re.compile(
    rf"""\s*(?:{_POLITE}[\s,.!]+)*
    (?:never\s?mind | cancel | stop | abort | quit | exit | forget\s(?:about\s)?(?:it|that|this) | leave\sit | drop\sit
    | skip\sit | (?:i|i've|i\shave)?\s?changed\smy\smind | (?:i\s)?don'?t\sbother | not\sany\s?more | no,?\sthanks
    | no,?\sthank\syou | nothing)
    (?:[\s,.!]+{_POLITE})*[\s,.!]*""".replace("thank you", r"thank\syou"),
    re.IGNORECASE | re.VERBOSE,
)
_FORGETS: Final = re.compile(
    rf"""\s*(?:{_POLITE}[\s,.!]+)*(?:never\s?mind | forget | scrap | drop)
    (?:\s+(?:about\s+)?(?:it|that|this|the|my|all)\b[^,.;!?]*?)?
    \s*(?:[,.;!?-] | \b(?:and|but)\b)\s*(?:and\s+|but\s+|just\s+)*(?P<rest>\S.*)""".replace("thank you", r"thank\syou"),
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_CORRECTS: Final = re.compile(
    r"""(?:^|[.,;!?]\s*)(?:no|nope)\s*[,.!;-]
    | \b(?:but|actually|instead|rather|sorry|wait|meant|mean|correction|changed?|make\s(?:it|that)|oops|wrong
    | should\sbe)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_EVASIVE: Final = re.compile(
    r"""\b(?:don'?t\sknow|do\snot\sknow|not\ssure|no\sidea|no\sclue|idk|dunno|whatever|any(?:thing)?|whichever|unsure|hm+
    | huh|help|hello|hi|hey|thanks|thank\syou|ok(?:ay)?|yes|no|maybe|sure)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_REQUESTS: Final = re.compile(
    r"""\s*(?:please\s+)?(?:tell|show|give|write|explain|find|search|translate|convert|play|open|sing|list|make\sme
    | compose|describe|summari[sz]e|calculate|compute|help|what|what's|who|who's|whose|where|where's|when|why|how|how's
    | which|can|could|would|will|do|does|did|is|are|am|was|were|should|let's|i\swant|i\sneed|i'd)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_ASKS_BACK: Final = re.compile(
    r"\s*(?:and\s|but\s|so\s)?(?:what|who|whose|where|when|why|how|which)(?:'s|'re)?\b(?!\s(?:about|if)\b).*\?\s*$",
    re.IGNORECASE | re.DOTALL,
)
# What stands around a value in an answer: "it's Portland, please".
_BEFORE: Final = re.compile(
    r"""(?:\s*(?:it'?s|it\sis|is|in|for|to|at|on|from|the|my|that'?s|that\swould\sbe|i\ssaid|make\s(?:it|that)|please|just
    | um+|uh+|well|so|let'?s\ssay|say|with|of)\b)*[\s,:]*""",
    re.IGNORECASE | re.VERBOSE,
)
_AFTER: Final = re.compile(r"[\s,]*(?:\bplease\b|\bthanks?\b|\bthank you\b)?[\s.!,]*$", re.IGNORECASE)
_SHORT: Final = 6
# Of a longer answer only the beginning is looked at; nobody gives a dialogue up in so many characters.
_LONG: Final = 1000


def given_up(answer: str) -> str | None:
    """What the user says instead of an answer: "" where the dialogue is given up for nothing; None where it goes on."""
    plain = normal(answer).strip()
    if len(plain) > _LONG:
        return None
    if _GIVES_UP.fullmatch(plain):
        return ""
    match = _FORGETS.fullmatch(plain)
    return match["rest"] if match else None


def corrects(answer: str) -> bool:
    """Whether the answer takes back something that was said before."""
    return _CORRECTS.search(normal(answer[:_LONG])) is not None


def is_request(answer: str) -> bool:
    """Whether the answer has the form of a question or of an order of its own."""
    plain = normal(answer[:_LONG]).strip()
    return plain.endswith("?") or _REQUESTS.match(plain) is not None


def is_question(answer: str) -> bool:
    """Whether the user asks something back. "What about Portland?" is an answer."""
    return len(answer) <= _LONG and _ASKS_BACK.match(normal(answer)) is not None


def read_off(asked: Sequence[Parameter], answer: str, today: date) -> dict[str, JsonValue]:
    """The values of an answer that need no model: those that only one of the asked parameters can mean."""
    said = Said(answer, today)
    found: dict[str, JsonValue] = {}
    for parameter in asked:
        value = _value(parameter, said, alone=len(asked) == 1)
        if value is not None:
            found[parameter.name] = value
    return _unambiguous(asked, found)


def _unambiguous(asked: Sequence[Parameter], found: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """One number for two parameters is for the model to give."""
    kinds = [(parameter.type, parameter.format) for parameter in asked if not parameter.enum]
    return {
        parameter.name: found[parameter.name]
        for parameter in asked
        if parameter.name in found and (parameter.enum or kinds.count((parameter.type, parameter.format)) == 1)
    }


def _value(parameter: Parameter, said: Said, *, alone: bool) -> JsonValue:
    if parameter.enum:
        members = named(parameter, said.text, said.words)
        return next(member for member in parameter.enum if str(member) in members) if len(members) == 1 else None
    match parameter.type:
        case ParameterType.BOOL:
            return _yes_or_no(parameter, said)
        case ParameterType.INT | ParameterType.FLOAT:
            numbers = values_in(parameter, said, with_unit=True) or _bare(parameter, said, alone=alone)
            return next(iter(numbers)) if len(numbers) == 1 else None
        case ParameterType.STR:
            return _text(parameter, said, alone=alone)
    return None


def _bare(parameter: Parameter, said: Said, *, alone: bool) -> set[int | float]:
    """Numbers without a unit. "At 7 pm" is no number of guests."""
    return values_in(parameter, said) if alone or not (said.times or said.days.days) else set()


def _text(parameter: Parameter, said: Said, *, alone: bool) -> str | None:
    if parameter.format == "time":
        times = [f"{minutes // 60:02d}:{minutes % 60:02d}" for minutes in said.times]
        return times[0] if len(times) == 1 else None
    if parameter.format == "date":
        days = [day.isoformat() for day in said.days.days]
        return days[0] if len(days) == 1 else None
    return _short(said) if alone and parameter.format != "date-time" else None


def _yes_or_no(parameter: Parameter, said: Said) -> bool | None:
    verdict = truth(parameter, said.text)
    if verdict is not None:
        return verdict
    heard = {word.text for word in said.words}
    yes, no = heard & {"yes", "yeah", "yep", "sure", "please"}, heard & {"no", "nope", "nah"}
    return bool(yes) if bool(yes) != bool(no) else None


def _short(said: Said) -> str | None:
    """An answer that is the value itself, less what is said around it."""
    plain = normal(said.text).strip()
    text = _AFTER.sub("", plain[_end_of_prelude(plain) :]).strip("\"' ")
    content = [word for word in said.words if word.text not in STOP]
    if not text or not 0 < len(content) <= _SHORT or is_request(said.text) or _EVASIVE.search(text):
        return None
    return None if corrects(said.text) or "\n" in text else text


def _end_of_prelude(plain: str) -> int:
    match = _BEFORE.match(plain)
    return match.end() if match else 0

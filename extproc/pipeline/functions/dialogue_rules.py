"""Rules for the answer to a clarification: the values that it gives, corrections, cancellation. Pure; English.

Used by intent resolution and slot filling.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from extproc.pipeline.functions.grounding.booleans import spoken_boolean
from extproc.pipeline.functions.grounding.enums import named_members
from extproc.pipeline.functions.grounding.parsed_text import ParsedText
from extproc.pipeline.functions.grounding.scoring import numbers_in_unit
from extproc.pipeline.functions.grounding.word_forms import STOP_WORDS, normalize
from extproc.shared.filter_config import JsonValue, Parameter, ParameterType

_POLITE: Final = r"(?:please|thanks|thank you|ok|okay|then|now|it|that|this|all|sorry|no|oh|well|hm+|ah|actually)"
# The whole answer cancels (_CANCELS), or its beginning cancels and a new request follows (_CANCELS_AND_REQUESTS).
_CANCELS: Final = re.compile(
    rf"""\s*(?:{_POLITE}[\s,.!]+)*
    (?:never\s?mind | cancel | stop | abort | quit | exit | forget\s(?:about\s)?(?:it|that|this) | leave\sit | drop\sit
    | skip\sit | (?:i|i've|i\shave)?\s?changed\smy\smind | (?:i\s)?don'?t\sbother | not\sany\s?more | no,?\sthanks
    | no,?\sthank\syou | nothing)
    (?:[\s,.!]+{_POLITE})*[\s,.!]*""".replace("thank you", r"thank\syou"),
    re.IGNORECASE | re.VERBOSE,
)
_CANCELS_AND_REQUESTS: Final = re.compile(
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
_DECLINES: Final = re.compile(
    r"""\s*(?:no|nope|nah)\b[\s,.!]*(?:$|thanks|thank\syou|not\b|that'?s\s(?:all|it)|(?:i\s|we\s)?(?:don'?t|do\snot)\b
    |(?:i'?m|i\sam)\s(?:good|fine|not)\b|i(?:'ll|\swill)\b) | \s*not\s(?:right\snow|now|yet|really|today)\b""",
    re.IGNORECASE | re.VERBOSE,
)
_AGREES: Final = re.compile(
    r"""\s*(?:yes|yeah|yep|yup|sure|correct|right|exactly|perfect|great|good|fine|ok(?:ay)?|absolutely|of\scourse|please\sdo
    |(?:that|it|this|everything)(?:'s|\sis|\slooks|\ssounds|\sworks|\swould\sbe)?\s(?:\w+\s)?(?:correct|right|good|fine
    |perfect|great|what\si\swant)|sounds\s(?:good|great|perfect))\b""",
    re.IGNORECASE | re.VERBOSE,
)
# Words around a value in an answer: "it's Portland, please".
_BEFORE: Final = re.compile(
    r"""(?:\s*(?:it'?s|it\sis|is|in|for|to|at|on|from|the|my|that'?s|that\swould\sbe|i\ssaid|make\s(?:it|that)|please|just
    | um+|uh+|well|so|let'?s\ssay|say|with|of)\b)*[\s,:]*""",
    re.IGNORECASE | re.VERBOSE,
)
_AFTER: Final = re.compile(r"[\s,]*(?:\bplease\b|\bthanks?\b|\bthank you\b)?[\s.!,]*$", re.IGNORECASE)
# A longer answer is not a bare value.
_MAX_VALUE_WORDS: Final = 6
# Only the beginning of a longer answer is searched, and it cancels nothing.
_MAX_CHARACTERS: Final = 1000


def cancellation(answer: str) -> str | None:
    """Returns the new request of an answer that cancels the dialogue, "" if it has none; None for other answers."""
    plain = normalize(answer).strip()
    if len(plain) > _MAX_CHARACTERS:
        return None
    if _CANCELS.fullmatch(plain):
        return ""
    match = _CANCELS_AND_REQUESTS.fullmatch(plain)
    return match["rest"] if match else None


def is_correction(answer: str) -> bool:
    """Returns True if the answer takes back an earlier value."""
    return _CORRECTS.search(normalize(answer[:_MAX_CHARACTERS])) is not None


def is_agreement(answer: str) -> bool:
    """Returns True if the answer begins with a yes and corrects nothing."""
    return _AGREES.match(normalize(answer[:_MAX_CHARACTERS])) is not None and not is_correction(answer)


def is_refusal(answer: str) -> bool:
    """Returns True if the answer declines an offer: "No, not now"."""
    return _DECLINES.match(normalize(answer[:_MAX_CHARACTERS])) is not None


def is_request(answer: str) -> bool:
    """Returns True if the answer has the form of a question or of an order."""
    plain = normalize(answer[:_MAX_CHARACTERS]).strip()
    return plain.endswith("?") or _REQUESTS.match(plain) is not None


def is_question(answer: str) -> bool:
    """Returns True if the user asks a question back. "What about Portland?" is an answer."""
    return len(answer) <= _MAX_CHARACTERS and _ASKS_BACK.match(normalize(answer)) is not None


def answer_values(requested: Sequence[Parameter], answer: str, today: date) -> dict[str, JsonValue]:
    """Returns the values that can belong to only one of the requested parameters. Needs no model."""
    text = ParsedText(answer, today)
    values: dict[str, JsonValue] = {}
    for parameter in requested:
        value = _value(parameter, text, is_only=len(requested) == 1)
        if value is not None:
            values[parameter.name] = value
    return _unambiguous(requested, values)


def _unambiguous(requested: Sequence[Parameter], values: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Drops a value that fits two parameters: the function model decides."""
    kinds = [(parameter.type, parameter.format) for parameter in requested if not parameter.enum]
    return {
        parameter.name: values[parameter.name]
        for parameter in requested
        if parameter.name in values and (parameter.enum or kinds.count((parameter.type, parameter.format)) == 1)
    }


def _value(parameter: Parameter, text: ParsedText, *, is_only: bool) -> JsonValue:
    if parameter.enum:
        members = named_members(parameter, text.text, text.words)
        return next(member for member in parameter.enum if str(member) in members) if len(members) == 1 else None
    match parameter.type:
        case ParameterType.BOOL:
            return _yes_or_no(parameter, text)
        case ParameterType.INT | ParameterType.FLOAT:
            numbers = numbers_in_unit(parameter, text, with_unit=True) or _unitless_numbers(
                parameter, text, is_only=is_only
            )
            return next(iter(numbers)) if len(numbers) == 1 else None
        case ParameterType.STR:
            return _text(parameter, text, is_only=is_only)
    return None


def _unitless_numbers(parameter: Parameter, text: ParsedText, *, is_only: bool) -> set[int | float]:
    """Returns numbers without a unit. None if they may be a date or time: "at 7 pm" is no number of guests."""
    return numbers_in_unit(parameter, text) if is_only or not (text.times or text.days.days) else set()


def _text(parameter: Parameter, text: ParsedText, *, is_only: bool) -> str | None:
    if parameter.format == "time":
        times = [f"{minutes // 60:02d}:{minutes % 60:02d}" for minutes in text.times]
        return times[0] if len(times) == 1 else None
    if parameter.format == "date":
        days = [day.isoformat() for day in text.days.days]
        return days[0] if len(days) == 1 else None
    return _bare_value(text) if is_only and parameter.format != "date-time" else None


def _yes_or_no(parameter: Parameter, text: ParsedText) -> bool | None:
    spoken = spoken_boolean(parameter, text.text)
    if spoken is not None:
        return spoken
    words = {word.text for word in text.words}
    yes, no = words & {"yes", "yeah", "yep", "sure", "please"}, words & {"no", "nope", "nah"}
    return bool(yes) if bool(yes) != bool(no) else None


def _bare_value(text: ParsedText) -> str | None:
    """Returns a short answer without the words around its value."""
    plain = normalize(text.text).strip()
    value = _AFTER.sub("", plain[_end_of_prelude(plain) :]).strip("\"' ")
    content = [word for word in text.words if word.text not in STOP_WORDS]
    if not value or not 0 < len(content) <= _MAX_VALUE_WORDS or is_request(text.text) or _EVASIVE.search(value):
        return None
    return None if is_correction(text.text) or "\n" in value else value


def _end_of_prelude(plain: str) -> int:
    match = _BEFORE.match(plain)
    return match.end() if match else 0

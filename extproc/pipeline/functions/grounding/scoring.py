"""How well a text supports a value, by type. Pure."""

from __future__ import annotations

import math
import re
from datetime import date
from functools import cached_property
from typing import Final

import msgspec

from extproc.pipeline.functions.grounding import enums
from extproc.pipeline.functions.grounding.booleans import truth
from extproc.pipeline.functions.grounding.calendar_days import Days
from extproc.pipeline.functions.grounding.dates import days
from extproc.pipeline.functions.grounding.numbers import Quantity, quantities
from extproc.pipeline.functions.grounding.strings import coverage
from extproc.pipeline.functions.grounding.times import HALF_DAY, minutes_of_day
from extproc.pipeline.functions.grounding.units import KELVIN, named, temperature
from extproc.pipeline.functions.grounding.word_forms import Word, alike, name_words, normal, stem, words
from extproc.shared.filter_config import JsonValue, Parameter, ParameterType

# Of longer texts both ends are read; the function model reads half of that.
MAX_CHARACTERS: Final = 4_000
_HALF: Final = MAX_CHARACTERS // 2
_ISO_DATE: Final = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?")
_ISO_MOMENT: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2})(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?")
_TIME: Final = re.compile(r"([01]?\d|2[0-4])[:.]([0-5]\d)(?::[0-5]\d)?\s*(?:([ap])\.?m\.?)?", re.IGNORECASE)
_EXACT: Final = 1e-12
_COUNT: Final = re.compile(r"(?:number of|how many|count of|quantity of)\s+(?:the\s+)?([a-z]{3,})")
_MEASURE: Final = re.compile(r"[-+]?[$€£¥]?\s?\d[\d.,]*\s?[^\W\d]*[%°$€£¥]?")
_HOUR: Final = re.compile(r"(1[0-2]|0?[1-9])\s*([ap])\.?m\.?", re.IGNORECASE)


class Said:
    """What was said, read once. Each kind of thing in it is looked for when it is first asked for."""

    def __init__(self, text: str, today: date) -> None:
        self.text = text if len(text) <= MAX_CHARACTERS else f"{text[:_HALF]}\n{text[-_HALF:]}"
        self.today = today

    @cached_property
    def words(self) -> list[Word]:
        return words(self.text)

    @cached_property
    def quantities(self) -> list[Quantity]:
        return quantities(self.text)

    @cached_property
    def numbers(self) -> frozenset[float]:
        return frozenset(each.value for each in self.quantities if not each.tied)

    @cached_property
    def days(self) -> Days:
        return days(self.text, self.today)

    @cached_property
    def times(self) -> set[int]:
        return minutes_of_day(self.text)


def support(parameter: Parameter, value: JsonValue, said: str, today: date) -> float:
    """0 to 1: how well `said` supports `value` for `parameter`. `today`: what relative dates are relative to."""
    return supported(parameter, value, Said(said, today))


def supported(parameter: Parameter, value: JsonValue, said: Said) -> float:
    """`support`, of a text that has been read."""
    if value is None or _is_default(parameter, value):
        return 1.0
    if isinstance(value, list):
        item = _item(parameter)
        return min((supported(item, each, said) for each in value), default=1.0)
    if isinstance(value, dict):
        return min((supported(_leaf(parameter, name), each, said) for name, each in value.items()), default=1.0)
    return _scalar(parameter, value, said)


def _scalar(parameter: Parameter, value: bool | int | float | str, said: Said) -> float:
    if isinstance(value, bool):
        verdict = truth(parameter, said.text)
        return 0.0 if verdict is None else float(verdict is value)
    numeric = parameter.type in {ParameterType.INT, ParameterType.FLOAT} or not parameter.enum
    if isinstance(value, int | float) and numeric:
        return _number(parameter, float(value), said)
    return _string(parameter, str(value), said)


def _is_default(parameter: Parameter, value: JsonValue) -> bool:
    return parameter.default_json is not None and msgspec.json.decode(parameter.default_json) == value


def _item(parameter: Parameter) -> Parameter:
    """An element of a list as a parameter of its own."""
    items = parameter.items
    kind, enum, form = (items.type, items.enum, items.format) if items else (ParameterType.STR, (), None)
    return Parameter(name=parameter.name, type=kind, description=parameter.description, enum=enum, format=form)


def _leaf(parameter: Parameter, name: str) -> Parameter:
    return Parameter(name=name, type=ParameterType.STR, description=parameter.description)


def _number(parameter: Parameter, value: float, said: Said) -> float:
    spoken_of = [*name_words(parameter.name), *(word.text for word in words(parameter.description))]
    units = named(name_words(parameter.name), spoken_of) | ({KELVIN} if temperature(spoken_of) else set())
    fraction = any(word in {"percent", "percentage"} for word in spoken_of)
    for quantity in said.quantities:
        if _equals(quantity, value, units):
            return 1.0
        if fraction and not quantity.tied and _close(quantity.value * 100, value):
            return 1.0
    return float(_counted(parameter, value, said) or _of_a_date(spoken_of, value, said))


def values_in(parameter: Parameter, said: Said, *, with_unit: bool = False) -> set[int | float]:
    """The numbers of a text in the parameter's unit; `with_unit`: only those that were said in a unit of its kind."""
    spoken_of = [*name_words(parameter.name), *(word.text for word in words(parameter.description))]
    units = named(name_words(parameter.name), spoken_of)
    found: set[int | float] = set()
    for quantity in said.quantities:
        same = {unit for unit in units if quantity.unit is not None and unit[0] == quantity.unit[0]}
        if quantity.unit is not None and same:
            found |= {_whole(quantity.value * quantity.unit[1] / unit[1]) for unit in same}
        elif not with_unit and not quantity.tied and quantity.unit != KELVIN:
            found.add(_whole(quantity.value))
    return {number for number in found if isinstance(number, int) or parameter.type is not ParameterType.INT}


def _whole(number: float) -> int | float:
    return int(number) if number.is_integer() else round(number, 9)


def _equals(quantity: Quantity, value: float, units: set[tuple[str, float]]) -> bool:
    if quantity.unit is not None:
        same = {unit for unit in units if unit[0] == quantity.unit[0]}
        if same:
            # In the parameter's own unit: 2 hours are 120 minutes, and not 2.
            return any(
                _close(quantity.value * quantity.unit[1] / unit[1], value, 1e-6 if unit != quantity.unit else _EXACT)
                for unit in same
            )
    return not quantity.tied and quantity.unit != KELVIN and _close(quantity.value, value)


def _close(number: float, value: float, within: float = _EXACT) -> bool:
    return math.isclose(number, value, rel_tol=within, abs_tol=1e-12)


def _counted(parameter: Parameter, value: float, said: Said) -> bool:
    """ "a room" is one of `rooms`, "no children" none of `children`; "just me" is one."""
    if value not in (0.0, 1.0):
        return False
    if value == 0.0 and re.search(r"\b(at|from) rest\b|\bstationary\b", said.text.casefold()):
        return True
    if value == 1.0 and re.search(
        r"\b(just|only)\s+(me|myself|one)\b|\b(by|on) my\s?(self|own)\b", normal(said.text).casefold()
    ):
        return True
    # What is counted: "rooms", or the guests of "Number of guests".
    things = [word for word in name_words(parameter.name) if len(word) > 2 and word != stem(word)]
    if match := _COUNT.search(parameter.description.casefold()):
        things.append(match[1])
    signs = {"no", "without", "zero"} if value == 0.0 else {"a", "an", "another", "single"}
    heard = [word.text for word in said.words]
    for index, word in enumerate(heard):
        if any(alike(word, thing) for thing in things):
            if value == 1.0 and word.endswith("s") and not word.endswith("ss"):
                continue
            if signs & set(heard[max(0, index - 2) : index]):
                return True
    return False


def _of_a_date(spoken_of: list[str], value: float, said: Said) -> bool:
    """A year, a month, a day or an hour that was said as part of a date or of a time."""
    if not value.is_integer():
        return False
    asked = set(spoken_of)
    found = said.days
    return (
        ("year" in asked and int(value) in found.years)
        or ("month" in asked and any(month == int(value) for _, month in found.months))
        or ("day" in asked and any(day.day == int(value) for day in found.days))
        or (bool(asked & {"hour", "time"}) and any(minutes // 60 == int(value) for minutes in said.times))
        or ("minute" in asked and any(minutes % 60 == int(value) for minutes in said.times))
    )


def _string(parameter: Parameter, value: str, said: Said) -> float:
    text = normal(value).strip()
    if moment := _ISO_MOMENT.fullmatch(text):
        return _day(moment[1], said) * _at(moment[2], said, midnight=True)
    if _ISO_DATE.fullmatch(text):
        return _day(text, said)
    if _TIME.fullmatch(text) or _HOUR.fullmatch(text):
        return _at(text, said)
    return _choice(parameter, value, said) if parameter.enum else _text(parameter, text, said)


def _text(parameter: Parameter, text: str, said: Said) -> float:
    share = coverage(text, said.text, said.words, said.numbers)
    if share >= 1.0 or any(enums.says(each, said.words) >= 0 for each in enums.spellings(text, parameter)):
        return 1.0
    return max(share, _written_date(text, said), _written_number(parameter, text, said))


def _choice(parameter: Parameter, value: str, said: Said) -> float:
    if _is_switch(parameter):
        verdict = truth(parameter, said.text)
        return 0.1 if verdict is None else float(str(verdict).casefold() == value.casefold())
    if all(str(member).isdecimal() for member in parameter.enum):
        return _number(parameter, float(value), said) if value.isdecimal() else 0.0
    found = enums.named(parameter, said.text, said.words)
    if value in found:
        return 1.0
    # Another member was named, so that this one was not meant.
    return 0.0 if found else 0.1


def _is_switch(parameter: Parameter) -> bool:
    """An enum that is a boolean, written as words."""
    members = {str(member).casefold() for member in parameter.enum}
    return {"true", "false"} <= members and len(members) <= 3


def _day(text: str, said: Said) -> float:
    """An ISO day, or a month without a day."""
    year, month, day = _parts(text)
    if not day:
        return float((year, month) in said.days.months)
    try:
        wanted = date(year, month, day)
    except ValueError:
        return 0.0
    return 1.0 if wanted in said.days.days else 0.9 if wanted in said.days.edges else 0.0


def _parts(text: str) -> tuple[int, int, int]:
    year, month, day = [*map(int, text.split("-")), 0][:3]
    return year, month, day


def _at(text: str, said: Said, *, midnight: bool = False) -> float:
    """A time of day. `midnight`: beside a day it is no time at all, where none was said."""
    clock, hour = _TIME.fullmatch(text), _HOUR.fullmatch(text)
    if clock:
        value = int(clock[1]) * 60 + int(clock[2])
        if clock[3]:
            value = value % HALF_DAY + (HALF_DAY if clock[3].lower() == "p" else 0)
    elif hour:
        value = int(hour[1]) % 12 * 60 + (HALF_DAY if hour[2].lower() == "p" else 0)
    else:
        return 0.0
    if midnight and value == 0 and not said.times:
        return 1.0
    return float(value % 1440 in said.times)


def _written_date(text: str, said: Said) -> float:
    """ "May 3rd, 2027" for "3 May": another way to write a day that was said."""
    wanted = days(text, said.today)
    if not wanted.days or not said.days.days:
        return 0.0
    rest = [word.text for word in words(text) if not any(each.isdigit() for each in word.text)]
    return float(bool(wanted.days & said.days.days) and len(rest) <= 3)


def _written_number(parameter: Parameter, text: str, said: Said) -> float:
    """A number with or without its unit, as a string."""
    if not _MEASURE.fullmatch(text):
        return 0.0
    wanted = [each for each in quantities(text) if not each.tied]
    return max((_number(parameter, each.value, said) for each in wanted), default=0.0)

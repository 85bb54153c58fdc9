"""Parses the numbers of a text, with units: digits, words, fractions, percentages, multiples. Pure; English."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.pipeline.functions.grounding.units import KELVIN, SMALLER_UNIT, UNITS
from extproc.pipeline.functions.grounding.word_forms import fold, normalize, word_set
from extproc.pipeline.functions.number_words import CARDINALS, ORDINALS, SCALES, parse_number_words

Unit = tuple[str, float]
# (possible values of a number, its end).
ParsedNumber = tuple[list[float], int]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number with its unit. `is_implied`: the text has no number, only a unit ("next week" is 7 days)."""

    value: float
    unit: Unit | None = None
    is_implied: bool = False


_COLLECTIVES: Final = {"dozen": 12.0, "dozens": 12.0, "couple": 2.0, "pair": 2.0, "pairs": 2.0, "score": 20.0}
_NUMBER_WORDS: Final = {
    "once": 1.0,
    "twice": 2.0,
    "thrice": 3.0,
    "both": 2.0,
    "few": 3.0,
    "alone": 1.0,
    "solo": 1.0,
    "myself": 1.0,
    "none": 0.0,
    "dozen": 12.0,
    "dozens": 12.0,
    "couple": 2.0,
    "trio": 3.0,
    "duo": 2.0,
}
_UNIT_FRACTIONS: Final = frozenset({"quarter", "third", "fifth", "tenth", "half"})
_FRACTIONS: Final = {
    "half": 0.5,
    "halves": 0.5,
    "third": 1 / 3,
    "thirds": 1 / 3,
    "quarter": 0.25,
    "quarters": 0.25,
    "fourth": 0.25,
    "fourths": 0.25,
    "fifth": 0.2,
    "fifths": 0.2,
    "tenth": 0.1,
    "tenths": 0.1,
}
_FILLERS: Final = word_set("more extra other full whole additional consecutive calendar")
_DETERMINERS: Final = word_set("a an the next coming this per every each whole following past last entire one")

_TOKEN: Final = re.compile(
    r"(?:\d{1,3}(?:[, ]\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d{1,3})?|\.\d+"  # a number
    r"|[^\W\d_]+|[^\s\w]|_"  # a word, a sign
)
_METRES: Final = re.compile(r"(?<!\w)(\d)\s?m\s?(\d{2})(?!\w)")
_POWER: Final = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*(?:\*|x|\u00d7|times)\s*10\s*(?:\^|\*\*)\s*([-+]?\d{1,2})")
# Case matters: it distinguishes units of physics.
_PREFIXED: Final = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?)\s?([pnu\u03bc\u00b5mkMG])(?:F|H|Hz|A|V|W|Pa|N|C|J|eV|\u03a9|ohms?)(?!\w)"
)
_PREFIXES: Final = {
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "\u03bc": 1e-6,
    "\u00b5": 1e-6,
    "m": 1e-3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
}
_DECIMAL_COMMA: Final = re.compile(r"(?<![\w,.])(\d+),(\d{1,2}|\d{4,})(?![\w,])")
_GROUPED_POINTS: Final = re.compile(r"(?<![\w,.])(\d{1,3}(?:\.\d{3})+)(?:,(\d+))?(?![\w.])")
_FRACTION_SIGNS: Final = ("\u00bd", 0.5), ("\u00bc", 0.25), ("\u00be", 0.75)


def parse_quantities(text: str) -> list[Quantity]:
    """Returns every number of `text`, in each possible reading."""
    # Before NFKC, which turns one character into "1/2".
    quantities = [Quantity(value) for sign, value in _FRACTION_SIGNS if sign in text]
    plain = fold(normalize(text))
    quantities += _QuantityParser(plain).read()
    quantities += [Quantity(int(match[1]) + int(match[2]) / 100, UNITS["m"]) for match in _METRES.finditer(plain)]
    quantities += [Quantity(float(match[1]) * _PREFIXES[match[2]]) for match in _PREFIXED.finditer(normalize(text))]
    quantities += [Quantity(float(match[1]) * 10.0 ** int(match[2])) for match in _POWER.finditer(plain)]
    quantities += [Quantity(float(f"{match[1]}.{match[2]}")) for match in _DECIMAL_COMMA.finditer(plain)]
    quantities += [
        Quantity(float(match[1].replace(".", "") + "." + (match[2] or "0")))
        for match in _GROUPED_POINTS.finditer(plain)
    ]
    return quantities


class _QuantityParser:
    """Walks over the tokens of one text."""

    def __init__(self, plain: str) -> None:
        matches = list(_TOKEN.finditer(plain))
        self._tokens = [match.group() for match in matches]
        self._plain = plain
        # "300K" may be degrees.
        self.kelvins: list[float] = []
        self._starts = [match.start() for match in matches]

    def _at(self, index: int) -> str:
        return self._tokens[index] if 0 <= index < len(self._tokens) else ""

    def read(self) -> list[Quantity]:
        quantities: list[Quantity] = []
        index = 0
        # The last quantity with a unit, and its end: "1 hour" waits for "30 minutes".
        open_end, open_quantity = -1, Quantity(0.0)
        while index < len(self._tokens):
            numbers, end = self._number(index)
            if not numbers:
                quantities += self._implied(index)
                index += 1
                continue
            negative = self._negative(index, end)
            half = self._half(end)  # "three and a half years"
            end = half or end
            unit, after = self._unit(end)
            half = half or self._half(after)  # "three years and a half"
            if half:
                numbers, after = [number + 0.5 for number in numbers], max(after, half)
            if unit is None and index == open_end and open_quantity.unit in SMALLER_UNIT:
                unit, bare = SMALLER_UNIT[open_quantity.unit], True
            else:
                bare = False
            for number in numbers:
                value = -number if negative else number
                quantities += self._readings(value, unit, end, bare)
            # "2x - 4": the sign before a coefficient counts.
            if not negative and self._at(index - 1) == "-" and self._at(index)[:1].isdecimal():
                quantities += [
                    Quantity(-number) for number in numbers if self._plain[self._starts[index] - 1].isspace()
                ]
            if unit is None:
                quantities += self._compared(index, numbers)
            if "." in self._at(index) and self._at(end) in {"w", "s", "west", "south"}:  # a coordinate
                quantities += [Quantity(-number) for number in numbers]
            if (
                index == open_end
                and unit
                and open_quantity.unit
                and unit[0] == open_quantity.unit[0]
                and unit[1] < open_quantity.unit[1]
            ):
                total = open_quantity.value + numbers[0] * unit[1] / open_quantity.unit[1]
                quantities.append(Quantity(total, open_quantity.unit, is_implied=True))
                open_quantity = Quantity(total, open_quantity.unit)
            elif unit:
                open_quantity = Quantity(numbers[0], unit)
            open_end = (after + 1 if self._at(after) in {"and", ","} else after) if unit else -1
            index = max(after, index + 1)
        return quantities + [Quantity(kelvins, KELVIN) for kelvins in self.kelvins]

    def _readings(self, value: float, unit: Unit | None, end: int, bare: bool) -> Iterator[Quantity]:
        yield Quantity(value, None if bare else unit)
        if self._percent(end):
            yield Quantity(value / 100)
        if self._at(end) == "m" and unit:  # five metres or five million
            yield Quantity(value * 1e6)
        if unit == UNITS["year"]:
            yield Quantity(value * 365, UNITS["day"], is_implied=True)
            yield Quantity(value * 52, UNITS["week"], is_implied=True)
        # "between five and six thousand"
        if self._at(end) in {"to", "and", "or", "-"}:
            _, after = self._number(end + 1)
            if after > end + 1 and self._at(after - 1) in SCALES and value < 1000:
                yield Quantity(value * SCALES[self._at(after - 1)])

    def _compared(self, start: int, numbers: Sequence[float]) -> Iterator[Quantity]:
        """Yields 4 for "less than 5", and 6 for "more than 5"."""
        if self._at(start - 1) == "than" and numbers[0].is_integer():
            if self._at(start - 2) in {"less", "fewer"}:
                yield Quantity(numbers[0] - 1)
            if self._at(start - 2) == "more":
                yield Quantity(numbers[0] + 1)

    def _percent(self, index: int) -> bool:
        return self._at(index) in {"%", "percent", "pct", "percentage"} or (
            self._at(index) == "per" and self._at(index + 1) == "cent"
        )

    def _negative(self, start: int, end: int) -> bool:
        before = self._at(start - 1)
        if before in {"minus", "negative"}:
            return True
        # A dash that joins two words is no sign: "5-7", "AB-12".
        if before == "-" and self._at(start)[:1].isdecimal() and self._starts[start - 1] + 1 == self._starts[start]:
            return not self._plain[: self._starts[start - 1]][-1:].isalnum()
        return any(
            self._at(index) == "below" and self._at(index + 1) in {"zero", "freezing"} for index in range(end, end + 3)
        )

    def _number(self, index: int) -> ParsedNumber:
        """Returns the values of the number at `index` and its end; ([], index) without one."""
        token = self._at(index)
        if token[:1].isdecimal() or (token[:1] == "." and len(token) > 1):
            return self._digits(index)
        if token in {"a", "an"}:
            following = self._at(index + 1)
            if following in _COLLECTIVES or following in _UNIT_FRACTIONS:
                return [_COLLECTIVES.get(following) or _FRACTIONS[following]], index + 2
            return self._in_words(index + 1) if following in SCALES else ([], index)
        if token in {"half", "quarter"}:
            return self._leading_fraction(index)
        alone = _NUMBER_WORDS.get(token)
        return self._in_words(index) if alone is None else ([alone], index + 1)

    def _leading_fraction(self, index: int) -> ParsedNumber:
        """Reads half a million, half a dozen, a quarter."""
        value, end = _FRACTIONS[self._at(index)], index + 1
        if self._at(end) in {"a", "of"}:
            scale = self._at(end + 1)
            times = SCALES.get(scale) or _COLLECTIVES.get(scale)
            if times:
                return [value * times], end + 2
        if self._at(end) in _COLLECTIVES:
            return [value * _COLLECTIVES[self._at(end)]], end + 1
        return [value], end

    def _digits(self, index: int) -> ParsedNumber:
        text, end = self._at(index), index + 1
        value = float(re.sub("[, ]", "", text))
        values = [value]
        if " " in text or "," in text:  # "4, 8" may be a list instead of grouped digits
            values += [float(part) for part in re.split("[, ]", text)]
        following = self._at(end)
        if following in {"st", "nd", "rd", "th"}:
            return values, end + 1
        if following == "/" and (part := self._fraction(index)):
            return [*values, float(self._at(end + 1)), part], end + 2
        if following.isdecimal() and self._at(end + 1) == "/" and (part := self._fraction(end)):
            return [value + part, *values, part], end + 3
        if following in SCALES:
            return self._scaled(value, end)
        if following in {"dozen", "pairs", "score"}:
            return [value * _COLLECTIVES[following], value], end + 1
        return values, end

    def _fraction(self, index: int) -> float:
        """Returns the value of "1/2" at `index`; 0 without a fraction."""
        above, below = self._at(index), self._at(index + 2)
        return float(above) / float(below) if above.isdecimal() and below.isdecimal() and float(below) else 0.0

    def _scaled(self, value: float, end: int) -> ParsedNumber:
        """Reads 1.2 million, 450k."""
        if self._at(end) == "k":
            self.kelvins.append(value)
        while self._at(end) in SCALES:
            value *= SCALES[self._at(end)]
            end += 1
        return [value], end

    def _in_words(self, index: int) -> ParsedNumber:
        values, end = parse_number_words(self._tokens, index)
        if not values:
            return values, end
        if self._at(end) == "point" and CARDINALS.get(self._at(end + 1), 10) < 10:
            digits, end = "", end + 1
            while CARDINALS.get(self._at(end), 10) < 10:
                digits += str(CARDINALS[self._at(end)])
                end += 1
            return [float(f"{int(values[0])}.{digits}")], end
        word = self._at(end - 1)
        if word in ORDINALS:  # "the third", or a third
            return [*values, *([_FRACTIONS[word]] if word in _FRACTIONS else [])], end
        times = _FRACTIONS.get(self._at(end)) or _COLLECTIVES.get(self._at(end))
        if times and self._at(end) != "couple":  # "three quarters", "two dozen"
            return [values[0] * times], end + 1
        return values, end

    def _unit(self, index: int) -> tuple[Unit | None, int]:
        """Returns the unit after a number that ends at `index`, and the end of the unit."""
        end = index
        if self._at(end) == "-":
            end += 1
        if self._at(end) == "of":
            end += 1
        if self._at(end) in {"a", "an"}:
            end += 1
        if self._at(end) in _FILLERS:
            end += 1
        word = self._at(end)
        if word in UNITS and (len(word) > 1 or end == index):
            return UNITS[word], end + 1
        if word == "°":
            return None, end + 1
        return None, index

    def _half(self, index: int) -> int | None:
        """Returns the end of "and a half" at `index`; None without it."""
        is_half = self._at(index) == "and" and self._at(index + 1) in {"a", "one"} and self._at(index + 2) == "half"
        return index + 3 if is_half else None

    def _implied(self, index: int) -> Iterator[Quantity]:
        """Yields the quantity of a unit without a number: "next week" is 7 days."""
        word = self._at(index)
        if word == "weekend":
            yield Quantity(2, UNITS["day"], is_implied=True)
        unit = UNITS.get(word)
        if unit is None or len(word) < 3:
            return
        if self._at(index - 1) in _DETERMINERS or word in {"fortnight"} or self._at(index - 1) in _FILLERS:
            value = 1.5 if self._half(index + 1) else 1.0
            yield Quantity(value, unit, is_implied=True)
            if unit == UNITS["year"]:
                yield Quantity(365, UNITS["day"], is_implied=True)

"""The numbers that a text says: digits, words, fractions, percentages, multiples, with their units."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.pipeline.functions.grounding.units import KELVIN, NEXT, UNITS
from extproc.pipeline.functions.grounding.word_forms import fold, listed, normal
from extproc.pipeline.functions.number_words import CARDINALS, ORDINALS, SCALES, spelled

Unit = tuple[str, float]
# The values that a number may have, and where it ends.
Reading = tuple[list[float], int]


@dataclass(frozen=True, slots=True)
class Quantity:
    """`value` of `unit`. `tied`: no number was said, the unit itself is the quantity ("next week" is 7 days)."""

    value: float
    unit: Unit | None = None
    tied: bool = False


_GROUPS: Final = {"dozen": 12.0, "dozens": 12.0, "couple": 2.0, "pair": 2.0, "pairs": 2.0, "score": 20.0}
_WORDS: Final = {
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
_PARTS: Final = frozenset({"quarter", "third", "fifth", "tenth", "half"})
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
_FILLERS: Final = listed("more extra other full whole additional consecutive calendar")
_THIS: Final = listed("a an the next coming this per every each whole following past last entire one")

_TOKEN: Final = re.compile(
    r"(?:\d{1,3}(?:[, ]\d{3})+(?!\d)|\d+)(?:\.\d+)?(?:e[+-]?\d{1,3})?|\.\d+"  # a number
    r"|[^\W\d_]+|[^\s\w]|_"  # a word, a sign
)
_METRES: Final = re.compile(r"(?<!\w)(\d)\s?m\s?(\d{2})(?!\w)")
_POWER: Final = re.compile(r"(?<![\d.])(\d+(?:\.\d+)?)\s*(?:\*|x|\u00d7|times)\s*10\s*(?:\^|\*\*)\s*([-+]?\d{1,2})")
# Of capital letters and small ones, as units of physics are told apart.
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
_SUPERSCRIPTS: Final = ("\u00bd", 0.5), ("\u00bc", 0.25), ("\u00be", 0.75)


def quantities(text: str) -> list[Quantity]:
    """Every number of `text` in every way that it may be meant."""
    # Before NFKC, which makes "1/2" of one character.
    found = [Quantity(value) for sign, value in _SUPERSCRIPTS if sign in text]
    plain = fold(normal(text))
    found += _Reader(plain).read()
    found += [Quantity(int(match[1]) + int(match[2]) / 100, UNITS["m"]) for match in _METRES.finditer(plain)]
    found += [Quantity(float(match[1]) * _PREFIXES[match[2]]) for match in _PREFIXED.finditer(normal(text))]
    found += [Quantity(float(match[1]) * 10.0 ** int(match[2])) for match in _POWER.finditer(plain)]
    found += [Quantity(float(f"{match[1]}.{match[2]}")) for match in _DECIMAL_COMMA.finditer(plain)]
    found += [
        Quantity(float(match[1].replace(".", "") + "." + (match[2] or "0")))
        for match in _GROUPED_POINTS.finditer(plain)
    ]
    return found


class _Reader:
    """A walk over the tokens of one text."""

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
        found: list[Quantity] = []
        index = 0
        # The last quantity with a unit, and where it ended: "1 hour" waits for "30 minutes".
        open_at, opened = -1, Quantity(0.0)
        while index < len(self._tokens):
            numbers, end = self._number(index)
            if not numbers:
                found += self._bare(index)
                index += 1
                continue
            negative = self._negative(index, end)
            half = self._half(end)  # "three and a half years"
            end = half or end
            unit, after = self._unit(end)
            half = half or self._half(after)  # "three years and a half"
            if half:
                numbers, after = [number + 0.5 for number in numbers], max(after, half)
            if unit is None and index == open_at and opened.unit in NEXT:
                unit, bare = NEXT[opened.unit], True
            else:
                bare = False
            for number in numbers:
                value = -number if negative else number
                found += self._meanings(value, unit, end, bare)
            # "2x - 4": a coefficient has the sign that stands before it.
            if not negative and self._at(index - 1) == "-" and self._at(index)[:1].isdecimal():
                found += [Quantity(-number) for number in numbers if self._plain[self._starts[index] - 1].isspace()]
            if unit is None:
                found += self._compared(index, numbers)
            if "." in self._at(index) and self._at(end) in {"w", "s", "west", "south"}:  # a coordinate
                found += [Quantity(-number) for number in numbers]
            if index == open_at and unit and opened.unit and unit[0] == opened.unit[0] and unit[1] < opened.unit[1]:
                total = opened.value + numbers[0] * unit[1] / opened.unit[1]
                found.append(Quantity(total, opened.unit, tied=True))
                opened = Quantity(total, opened.unit)
            elif unit:
                opened = Quantity(numbers[0], unit)
            open_at = (after + 1 if self._at(after) in {"and", ","} else after) if unit else -1
            index = max(after, index + 1)
        return found + [Quantity(kelvins, KELVIN) for kelvins in self.kelvins]

    def _meanings(self, value: float, unit: Unit | None, end: int, bare: bool) -> Iterator[Quantity]:
        yield Quantity(value, None if bare else unit)
        if self._percent(end):
            yield Quantity(value / 100)
        if self._at(end) == "m" and unit:  # five metres or five million
            yield Quantity(value * 1e6)
        if unit == UNITS["year"]:
            yield Quantity(value * 365, UNITS["day"], tied=True)
            yield Quantity(value * 52, UNITS["week"], tied=True)
        # "between five and six thousand"
        if self._at(end) in {"to", "and", "or", "-"}:
            _, after = self._number(end + 1)
            if after > end + 1 and self._at(after - 1) in SCALES and value < 1000:
                yield Quantity(value * SCALES[self._at(after - 1)])

    def _compared(self, start: int, numbers: Sequence[float]) -> Iterator[Quantity]:
        """ "Less than 5" of what is counted are at most 4."""
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
        # A dash is a sign only where it joins nothing: not in "5-7" or "AB-12".
        if before == "-" and self._at(start)[:1].isdecimal() and self._starts[start - 1] + 1 == self._starts[start]:
            return not self._plain[: self._starts[start - 1]][-1:].isalnum()
        return any(
            self._at(index) == "below" and self._at(index + 1) in {"zero", "freezing"} for index in range(end, end + 3)
        )

    def _number(self, index: int) -> Reading:
        """The values of the number that begins at `index`, and where it ends; no value, `index` where none does."""
        token = self._at(index)
        if token[:1].isdecimal() or (token[:1] == "." and len(token) > 1):
            return self._digits(index)
        if token in {"a", "an"}:
            following = self._at(index + 1)
            if following in _GROUPS or following in _PARTS:
                return [_GROUPS.get(following) or _FRACTIONS[following]], index + 2
            return self._in_words(index + 1) if following in SCALES else ([], index)
        if token in {"half", "quarter"}:
            return self._portion(index)
        alone = _WORDS.get(token)
        return self._in_words(index) if alone is None else ([alone], index + 1)

    def _portion(self, index: int) -> tuple[list[float], int]:
        """Half a million, half a dozen, a quarter."""
        value, end = _FRACTIONS[self._at(index)], index + 1
        if self._at(end) in {"a", "of"}:
            scale = self._at(end + 1)
            times = SCALES.get(scale) or _GROUPS.get(scale)
            if times:
                return [value * times], end + 2
        if self._at(end) in _GROUPS:
            return [value * _GROUPS[self._at(end)]], end + 1
        return [value], end

    def _digits(self, index: int) -> Reading:
        text, end = self._at(index), index + 1
        value = float(re.sub("[, ]", "", text))
        values = [value]
        if " " in text or "," in text:  # "4, 8": a list, where no space or comma groups digits
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
            return [value * _GROUPS[following], value], end + 1
        return values, end

    def _fraction(self, index: int) -> float:
        """The value of "1/2" at `index`; 0 where it is none."""
        above, below = self._at(index), self._at(index + 2)
        return float(above) / float(below) if above.isdecimal() and below.isdecimal() and float(below) else 0.0

    def _scaled(self, value: float, end: int) -> Reading:
        """1.2 million, 450k."""
        if self._at(end) == "k":
            self.kelvins.append(value)
        while self._at(end) in SCALES:
            value *= SCALES[self._at(end)]
            end += 1
        return [value], end

    def _in_words(self, index: int) -> Reading:
        values, end = spelled(self._tokens, index)
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
        times = _FRACTIONS.get(self._at(end)) or _GROUPS.get(self._at(end))
        if times and self._at(end) != "couple":  # "three quarters", "two dozen"
            return [values[0] * times], end + 1
        return values, end

    def _unit(self, index: int) -> tuple[Unit | None, int]:
        """The unit after a number that ends at `index`, and where it ends."""
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
        """Where "and a half" ends, if it begins at `index`."""
        said = self._at(index) == "and" and self._at(index + 1) in {"a", "one"} and self._at(index + 2) == "half"
        return index + 3 if said else None

    def _bare(self, index: int) -> Iterator[Quantity]:
        """A unit without a number."""
        word = self._at(index)
        if word == "weekend":
            yield Quantity(2, UNITS["day"], tied=True)
        unit = UNITS.get(word)
        if unit is None or len(word) < 3:
            return
        if self._at(index - 1) in _THIS or word in {"fortnight"} or self._at(index - 1) in _FILLERS:
            value = 1.5 if self._half(index + 1) else 1.0
            yield Quantity(value, unit, tied=True)
            if unit == UNITS["year"]:
                yield Quantity(365, UNITS["day"], tied=True)

"""Units of measure: their spellings and conversion factors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

# (dimension, factor to the base unit of the dimension) -> spellings. A month has no fixed number of days, so months and
# years are a dimension of their own.
_SPELLINGS: Final[dict[tuple[str, float], str]] = {
    ("time", 1e-3): "ms millisecond milliseconds",
    ("time", 1.0): "s sec secs second seconds",
    ("time", 60.0): "min mins minute minutes",
    ("time", 3600.0): "h hr hrs hour hours",
    ("time", 86400.0): "day days night nights",
    ("time", 7 * 86400.0): "week weeks wk wks",
    ("time", 14 * 86400.0): "fortnight fortnights",
    ("months", 1.0): "month months",
    ("months", 3.0): "trimester trimesters",
    ("months", 12.0): "year years yr yrs",
    ("months", 120.0): "decade decades",
    ("months", 1200.0): "century centuries",
    ("length", 1e-9): "nm nanometer nanometers nanometre nanometres",
    ("length", 1e-3): "mm millimeter millimeters millimetre millimetres",
    ("length", 1e-2): "cm centimeter centimeters centimetre centimetres",
    ("length", 1.0): "m meter meters metre metres",
    ("length", 1e3): "km kms kilometer kilometers kilometre kilometres",
    ("length", 0.0254): "inch inches",
    ("length", 0.3048): "ft foot feet",
    ("length", 0.9144): "yd yard yards",
    ("length", 1609.344): "mi mile miles",
    ("mass", 1e-3): "mg milligram milligrams",
    ("mass", 1.0): "g gram grams gramme grammes",
    ("mass", 1e3): "kg kgs kilo kilos kilogram kilograms",
    ("mass", 1e6): "tonne tonnes",
    ("mass", 453.59237): "lb lbs pound pounds",
    ("mass", 28.349523125): "oz ounce ounces",
    ("volume", 1e-3): "ml milliliter milliliters millilitre millilitres",
    ("volume", 1e-2): "cl centiliter centiliters centilitre centilitres",
    ("volume", 1e-1): "dl deciliter deciliters decilitre decilitres",
    ("volume", 1.0): "l liter liters litre litres",
    ("energy", 1.0): "j joule joules",
    ("energy", 1e3): "kj kilojoule kilojoules",
    ("power", 1.0): "w watt watts",
    ("power", 1e3): "kw kilowatt kilowatts",
    ("power", 1e6): "mw megawatt megawatts",
    ("bytes", 1.0): "byte bytes",
    ("bytes", 1e3): "kb kilobyte kilobytes",
    ("bytes", 1e6): "mb megabyte megabytes",
    ("bytes", 1e9): "gb gigabyte gigabytes",
    ("bytes", 1e12): "tb terabyte terabytes",
    ("money", 1.0): "dollar dollars euro euros",
    ("money", 0.01): "cent cents",
}
UNITS: Final = {name: unit for unit, names in _SPELLINGS.items() for name in names.split()}

KELVIN: Final = ("temperature", 1.0)

# The unit that is left out after another: "1 hour 30", "6 feet 2", "1m82".
SMALLER_UNIT: Final = {
    ("time", 3600.0): ("time", 60.0),
    ("time", 60.0): ("time", 1.0),
    ("length", 1.0): ("length", 0.01),
    ("length", 0.3048): ("length", 0.0254),
    ("months", 12.0): ("months", 1.0),
    ("mass", 1e3): ("mass", 1.0),
}

# A single letter is a unit only directly after a number, never in a description.
_LETTERS: Final = frozenset("shmgljw")

# Names of one unit. A text and an argument may use different ones.
UNIT_SYNONYMS: Final = (
    ("c", "celsius", "centigrade", "metric", "°c"),
    ("f", "fahrenheit", "imperial", "°f"),
    ("k", "kelvin"),
    ("km", "kms", "kilometer", "kilometers", "kilometre", "kilometres", "metric"),
    ("mi", "mile", "miles", "imperial"),
    *(tuple(names.split()) for (dimension, _), names in _SPELLINGS.items() if dimension not in {"money", "length"}),
    *(tuple(names.split()) for (dimension, of), names in _SPELLINGS.items() if dimension == "length" and of < 1000),
)


def units_of(name: Sequence[str], described: Iterable[str]) -> set[tuple[str, float]]:
    """Returns the units in a parameter's name and description. A letter counts at the end of a name: `distance_m`."""
    last = {UNITS[name[-1]]} if len(name) > 1 and name[-1] in UNITS else set()
    return last | {UNITS[word] for word in described if word in UNITS and word not in _LETTERS}


def is_temperature(words: Iterable[str]) -> bool:
    """Returns True if the parameter may be in kelvins."""
    return any(word.startswith("temp") or word == "kelvin" for word in words)

"""Converts dates and times in words to the ISO form that a parameter declares. Pure.

Used by tool selection, slot filling and missing_arguments.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Final

from extproc.pipeline.functions.grounding.parsed_text import ParsedText
from extproc.shared.filter_config import JsonValue, Parameter, Target

FORMATS: Final = frozenset({"date", "time", "date-time"})


def normalize_datetimes(target: Target, arguments: Mapping[str, JsonValue], today: date) -> dict[str, JsonValue]:
    """Converts "tomorrow" to a date and "9am" to a time, if so declared. An ambiguous value stays unchanged."""
    declared = {parameter.name: parameter for parameter in target.parameters}
    return {
        name: (iso_datetime(declared[name], ParsedText(value, today)) or value)
        if isinstance(value, str) and name in declared and declared[name].format in FORMATS
        else value
        for name, value in arguments.items()
    }


def iso_datetime(parameter: Parameter, text: ParsedText) -> str | None:
    """Returns the only date, time of day or both of a text in ISO form; None for none or several."""
    days = [day.isoformat() for day in text.days.days]
    times = [f"{minutes // 60:02d}:{minutes % 60:02d}:00" for minutes in text.times]
    match parameter.format:
        case "date" if len(days) == 1:
            return days[0]
        case "time" if len(times) == 1:
            return times[0].removesuffix(":00")
        case "date-time" if len(days) == 1 and len(times) == 1:
            return f"{days[0]}T{times[0]}"
    return None

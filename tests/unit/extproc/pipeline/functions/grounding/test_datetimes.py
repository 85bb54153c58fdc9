"""Dates and times in ISO form."""

from __future__ import annotations

from datetime import date

from extproc.pipeline.functions.grounding.datetimes import normalize_datetimes
from extproc.shared.filter_config import JsonValue, Parameter, ParameterType
from tests.unit.extproc.fakes import target

TODAY = date(2026, 11, 22)
T = ParameterType


def test_dates_and_times_are_converted_to_iso() -> None:
    when = target(
        "t",
        Parameter(name="day", type=T.STR, description="", format="date"),
        Parameter(name="at", type=T.STR, description="", format="time"),
        Parameter(name="start", type=T.STR, description="", format="date-time"),
        Parameter(name="note", type=T.STR, description=""),
    )
    given: dict[str, JsonValue] = {
        "day": "tomorrow",
        "at": "half past 6 pm",
        "start": "tomorrow at 9am",
        "note": "tomorrow",
    }
    assert normalize_datetimes(when, given, TODAY) == {
        "day": "2026-11-23",
        "at": "18:30",
        "start": "2026-11-23T09:00:00",
        "note": "tomorrow",
    }
    unclear: dict[str, JsonValue] = {"day": "05/06/2027", "at": "at six"}
    assert normalize_datetimes(when, unclear, TODAY) == unclear

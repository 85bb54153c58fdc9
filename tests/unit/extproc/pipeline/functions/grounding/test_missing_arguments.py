"""Arguments that the function model overlooked."""

from __future__ import annotations

from datetime import date

from extproc.pipeline.functions.grounding import ParsedText
from extproc.pipeline.functions.grounding.missing_arguments import infer_missing
from extproc.shared.filter_config import Parameter, ParameterType
from tests.unit.extproc.fakes import target

TODAY = date(2026, 11, 22)
T = ParameterType


def test_unambiguous_missing_values_are_inferred() -> None:
    convert = target(
        "convert",
        Parameter(name="amount", type=T.FLOAT, description="The amount", required=True),
        Parameter(name="from_currency", type=T.STR, description="The currency to convert from", required=True),
        Parameter(name="to_currency", type=T.STR, description="The currency to convert to", required=True),
    )
    text = ParsedText("convert 5 dollars to euro", TODAY)
    assert infer_missing(convert, {"amount": 5.0, "to_currency": "EUR"}, text) == {"from_currency": "USD"}
    assert infer_missing(convert, {"amount": 5.0}, text) == {"from_currency": "USD", "to_currency": "EUR"}
    assert infer_missing(convert, {}, ParsedText("convert 5 dollars", TODAY)) == {}


def test_optional_enum_is_inferred_if_the_text_names_one_member() -> None:
    unit = Parameter(name="unit", type=T.STR, description="Unit of temperature", enum=("celsius", "fahrenheit"))
    days = Parameter(name="days", type=T.INT, description="Number of days")
    forecast = target("forecast", unit, days)
    assert infer_missing(forecast, {}, ParsedText("3 days, in fahrenheit", TODAY)) == {"unit": "fahrenheit"}
    assert infer_missing(forecast, {"unit": "celsius"}, ParsedText("in fahrenheit", TODAY)) == {}
    assert infer_missing(forecast, {}, ParsedText("celsius or fahrenheit, as you like", TODAY)) == {}

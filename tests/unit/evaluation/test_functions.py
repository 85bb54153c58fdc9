"""The section `functions`: outcomes of prompts and lines of the table."""

from typing import Any

from evaluation import bfcl
from evaluation.bfcl import Row
from evaluation.functions import Outcome, both, halves, line, outcome, sample
from extproc.inference.interface import FunctionCall
from extproc.pipeline.functions.tool_selection import Clarification, NoTargetCall, TargetCalls
from extproc.shared.filter_config import Items, ParameterType
from tests.unit.extproc.fakes import FakeModels

WEATHER: dict[str, Any] = {
    "name": "weather.get",
    "description": "weather",
    "parameters": {
        "type": "dict",
        "properties": {
            "city": {"type": "string", "description": "City"},
            "days": {"type": "array", "items": {"type": "integer"}, "description": "Days"},
            "unit": {"type": "string", "description": "Unit", "enum": ["C", "F"], "default": "C"},
            "at": {"type": "dict", "description": "Where.", "properties": {"x": {"type": "float", "description": "X"}}},
        },
        "required": ["city"],
    },
}


class FakeChecker(bfcl.Checker):
    """Compares the calls; the real checker comes from a package."""

    def __init__(self) -> None:
        pass

    def error(self, row: Row, calls: Any) -> str:
        return "" if [{name: dict(given)} for name, given in calls] == list(row.answers or ()) else "wrong"


def row(answers: Any) -> Row:
    return Row(
        "x",
        "simple_python",
        ({"role": "user", "content": "weather in Oslo"},),
        (bfcl.target(WEATHER),),
        [WEATHER],
        answers,
    )


def test_bfcl_function_becomes_a_target() -> None:
    city, days, unit, at = bfcl.target(WEATHER).parameters
    assert (city.type, city.required) == (ParameterType.STR, True)
    assert days.items == Items(type=ParameterType.INT)
    assert (unit.enum, unit.default_json, unit.required) == (("C", "F"), '"C"', False)
    assert (at.type, at.description) == (ParameterType.DICT, "Where. Keys: x (float): X")


async def test_right_call_is_exact_and_a_clarification_is_not() -> None:
    answers = [{"weather.get": {"city": "Oslo", "unit": "C"}}]
    models = FakeModels(calls=(FunctionCall("weather.get", {"city": "Oslo"}),))
    made = await outcome(models, FakeChecker(), row(answers))
    assert (made.kind, made.exact, made.right_names) == (TargetCalls, True, True)
    clarified = await outcome(FakeModels(calls=(FunctionCall("weather.get", {}),)), FakeChecker(), row(answers))
    assert (clarified.kind, clarified.exact) == (Clarification, False)


async def test_no_call_is_right_for_an_irrelevant_prompt() -> None:
    assert (await outcome(FakeModels(), FakeChecker(), row(None))).exact
    assert (await outcome(FakeModels(calls=(FunctionCall("weather.get", {}),)), FakeChecker(), row(None))).exact
    called = FakeModels(calls=(FunctionCall("weather.get", {"city": "Oslo"}),))
    assert not (await outcome(called, FakeChecker(), row(None))).exact


def test_halves_and_samples_are_deterministic() -> None:
    rows = [row(None)] * 5
    assert [len(half) for half in halves(rows)] == [3, 2]
    assert sample(rows, 9) == rows
    assert len(sample(rows, 2)) == 2


def test_line_shows_shares() -> None:
    outcomes = [
        Outcome(TargetCalls, exact=True, right_names=True, ms=1.0),
        Outcome(TargetCalls, exact=False, right_names=True, ms=2.0),
        Outcome(Clarification, exact=False, right_names=False, ms=3.0),
        Outcome(NoTargetCall, exact=False, right_names=False, ms=9.0),
    ]
    assert line("simple_python", "test", outcomes) == [
        "simple_python", "test", 4, 0.25, 0.5, 0.5, 0.25, 0.25, 0.0, "2",
    ]  # fmt: skip


def test_both_halves_have_equal_weight() -> None:
    test, seen = ["multiple", "test", 100, 0.5, 0.75, "3"], ["multiple", "seen", 9, 1.0, "-", "5"]
    assert both(test, seen) == ["multiple", "both", "", 0.75, "-", ""]

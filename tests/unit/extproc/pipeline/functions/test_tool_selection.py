"""From the function model's proposals to calls, a clarification or no call."""

import pytest

from extproc.conversation import current_turn
from extproc.inference.interface import FunctionCall
from extproc.pipeline.functions.tool_selection import (
    MAX_CALLS,
    Clarification,
    NoTargetCall,
    TargetCall,
    TargetCalls,
    openai_tool,
    select_calls,
)
from extproc.pipeline.intent.target_index import ScoredTarget
from extproc.shared.filter_config import Intent, Items, JsonValue, Parameter, ParameterType, Target
from tests.unit.extproc.fakes import FakeModels, target

INTENT = Intent(threshold=0.3, confidence=0.1, sure=0.4)
TURN = current_turn.read([{"role": "user", "content": "weather in Oslo and Rome for 3 days"}])


def parameter(name: str, kind: str = "str", *, required: bool = True) -> Parameter:
    return Parameter(name=name, type=ParameterType(kind), description="", required=required)


WEATHER = target("weather", parameter("city"), parameter("days", "int"), parameter("unit", required=False))
MONEY = target("money", parameter("amount", "float"), parameter("days", "int"))
STATUS = target("status")


async def select(
    *calls: tuple[str, dict[str, JsonValue]],
    confidence: float = 0.9,
    score: float = 0.8,
    targets: tuple[Target, ...] = (WEATHER, MONEY, STATUS),
) -> TargetCalls | Clarification | NoTargetCall:
    models = FakeModels(calls=tuple(FunctionCall(*call) for call in calls), confidence=confidence)
    return await select_calls(models, [ScoredTarget(each, score) for each in targets], TURN, INTENT)


async def test_calls_of_several_targets_keep_their_order() -> None:
    outcome = await select(
        ("weather", {"city": "Oslo", "days": 3}),
        ("money", {"amount": "1,500", "days": 1}),
        ("weather", {"city": "Rome", "days": 3}),
    )
    assert outcome == TargetCalls(
        (
            TargetCall(WEATHER, {"city": "Oslo", "days": 3}),
            TargetCall(MONEY, {"amount": 1500.0, "days": 1}),
            TargetCall(WEATHER, {"city": "Rome", "days": 3}),
        )
    )


async def test_calls_equal_after_typing_are_made_once() -> None:
    outcome = await select(("weather", {"city": "Oslo", "days": 3}), ("weather", {"city": "Oslo ", "days": "three"}))
    assert outcome == TargetCalls((TargetCall(WEATHER, {"city": "Oslo", "days": 3}),))


async def test_calls_over_the_maximum_are_dropped() -> None:
    cities: list[dict[str, JsonValue]] = [{"city": f"C{index}", "days": 1} for index in range(MAX_CALLS + 5)]
    outcome = await select(*(("weather", city) for city in cities))
    assert isinstance(outcome, TargetCalls)
    assert len(outcome.calls) == MAX_CALLS


async def test_one_incomplete_call_asks_for_exactly_the_missing_values() -> None:
    outcome = await select(
        ("weather", {"city": "Oslo", "days": 3}),
        ("weather", {"city": "Rome"}),
        ("money", {"unit": "x"}),
    )
    assert outcome == Clarification(WEATHER, ("days", "amount"))
    assert isinstance(outcome, Clarification)
    assert outcome.question == "Could you provide the following details days, amount ?"


async def test_target_outside_the_candidates_is_not_called() -> None:
    assert await select(("money", {"amount": 1, "days": 1}), targets=(WEATHER,)) == NoTargetCall()
    assert await select() == NoTargetCall()


@pytest.mark.parametrize(
    ("confidence", "score", "expected"),
    [
        (0.1, 0.4, TargetCalls((TargetCall(WEATHER, {"city": "Oslo", "days": 3}),))),
        # A guess at a target with a sure score: ask for all values, whatever the model invented.
        (0.09, 0.4, Clarification(WEATHER, ("city", "days"))),
        # A prompt that is only just like its target needs three times the confidence.
        (0.31, 0.39, TargetCalls((TargetCall(WEATHER, {"city": "Oslo", "days": 3}),))),
        (0.29, 0.39, Clarification(WEATHER, ("city", "days"))),
        (0.09, 0.39, NoTargetCall()),
    ],
)
async def test_low_confidence_asks_or_calls_nothing(confidence: float, score: float, expected: object) -> None:
    assert await select(("weather", {"city": "Oslo", "days": 3}), confidence=confidence, score=score) == expected


async def test_guess_without_required_parameters_calls_nothing() -> None:
    assert await select(("status", {}), confidence=0.05) == NoTargetCall()
    assert await select(("status", {})) == TargetCalls((TargetCall(STATUS, {}),))


def test_openai_tool_has_types_enums_and_list_items() -> None:
    declared = target(
        "t",
        Parameter(name="a", type=ParameterType.STR, description="A", required=True, enum=("x", "y")),
        Parameter(name="b", type=ParameterType.STR, description="B", format="date"),
        Parameter(name="c", type=ParameterType.LIST, description="C", items=Items(type=ParameterType.INT, enum=(1, 2))),
    )
    function = {
        "name": "t",
        "description": "about t",
        "parameters": {
            "type": "object",
            "properties": {
                "a": {"type": "string", "description": "A", "enum": ["x", "y"]},
                "b": {"type": "string", "description": "B"},
                "c": {"type": "array", "description": "C", "items": {"type": "integer", "enum": [1, 2]}},
            },
            "required": ["a"],
        },
    }
    assert openai_tool(declared) == {"type": "function", "function": function}

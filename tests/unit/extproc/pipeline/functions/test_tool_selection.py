"""From what the function model proposes to calls, a question or nothing."""

import pytest

from extproc.conversation import current_turn
from extproc.inference.interface import FunctionCall
from extproc.pipeline.functions.tool_selection import MAX_CALLS, Call, Calls, Clarification, NoCall, choose, tool
from extproc.pipeline.intent.target_index import Scored
from extproc.shared.filter_config import Intent, Items, JsonValue, Parameter, ParameterType, Target
from tests.unit.extproc.fakes import FakeModels, target

INTENT = Intent(threshold=0.3, confidence=0.1, sure=0.4)
TURN = current_turn.read([{"role": "user", "content": "weather in Oslo and Rome for 3 days"}])


def parameter(name: str, kind: str = "str", *, required: bool = True) -> Parameter:
    return Parameter(name=name, type=ParameterType(kind), description="", required=required)


WEATHER = target("weather", parameter("city"), parameter("days", "int"), parameter("unit", required=False))
MONEY = target("money", parameter("amount", "float"), parameter("days", "int"))
STATUS = target("status")


async def chosen(
    *calls: tuple[str, dict[str, JsonValue]],
    confidence: float = 0.9,
    score: float = 0.8,
    targets: tuple[Target, ...] = (WEATHER, MONEY, STATUS),
) -> Calls | Clarification | NoCall:
    models = FakeModels(calls=tuple(FunctionCall(*call) for call in calls), confidence=confidence)
    return await choose(models, [Scored(each, score) for each in targets], TURN, INTENT)


async def test_several_calls_of_one_and_of_several_targets_keep_their_order() -> None:
    outcome = await chosen(
        ("weather", {"city": "Oslo", "days": 3}),
        ("money", {"amount": "1,500", "days": 1}),
        ("weather", {"city": "Rome", "days": 3}),
    )
    assert outcome == Calls(
        (
            Call(WEATHER, {"city": "Oslo", "days": 3}),
            Call(MONEY, {"amount": 1500.0, "days": 1}),
            Call(WEATHER, {"city": "Rome", "days": 3}),
        )
    )


async def test_calls_that_are_equal_once_typed_are_made_once() -> None:
    outcome = await chosen(("weather", {"city": "Oslo", "days": 3}), ("weather", {"city": "Oslo ", "days": "three"}))
    assert outcome == Calls((Call(WEATHER, {"city": "Oslo", "days": 3}),))


async def test_more_calls_than_a_prompt_can_mean_are_cut() -> None:
    cities: list[dict[str, JsonValue]] = [{"city": f"C{index}", "days": 1} for index in range(MAX_CALLS + 5)]
    outcome = await chosen(*(("weather", city) for city in cities))
    assert isinstance(outcome, Calls)
    assert len(outcome.calls) == MAX_CALLS


async def test_nothing_is_called_while_one_call_lacks_a_value_and_the_question_names_exactly_what_is_missing() -> None:
    outcome = await chosen(
        ("weather", {"city": "Oslo", "days": 3}),
        ("weather", {"city": "Rome"}),
        ("money", {"unit": "x"}),
    )
    assert outcome == Clarification(WEATHER, ("days", "amount"))
    assert isinstance(outcome, Clarification)
    assert outcome.question == "Could you provide the following details days, amount ?"


async def test_a_target_that_was_no_candidate_is_not_called() -> None:
    assert await chosen(("money", {"amount": 1, "days": 1}), targets=(WEATHER,)) == NoCall()
    assert await chosen() == NoCall()


@pytest.mark.parametrize(
    ("confidence", "score", "expected"),
    [
        (0.1, 0.4, Calls((Call(WEATHER, {"city": "Oslo", "days": 3}),))),
        # A guess at a target that is surely meant: asked for, whatever the model made up.
        (0.09, 0.4, Clarification(WEATHER, ("city", "days"))),
        # A prompt that is only just like its target needs three times the confidence.
        (0.31, 0.39, Calls((Call(WEATHER, {"city": "Oslo", "days": 3}),))),
        (0.29, 0.39, Clarification(WEATHER, ("city", "days"))),
        (0.09, 0.39, NoCall()),
    ],
)
async def test_a_guess_is_asked_about_or_left(confidence: float, score: float, expected: object) -> None:
    assert await chosen(("weather", {"city": "Oslo", "days": 3}), confidence=confidence, score=score) == expected


async def test_a_guess_at_a_target_without_required_values_calls_nothing() -> None:
    assert await chosen(("status", {}), confidence=0.05) == NoCall()
    assert await chosen(("status", {})) == Calls((Call(STATUS, {}),))


def test_a_target_as_a_tool_tells_types_enums_and_what_a_list_holds() -> None:
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
    assert tool(declared) == {"type": "function", "function": function}

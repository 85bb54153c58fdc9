"""What a turn means: the models are stood in for, the rules are real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from extproc.conversation import current_turn
from extproc.endpoints.chat_completions import Message
from extproc.inference.interface import Extraction, FunctionCall, Role, RoleUnavailable
from extproc.pipeline.functions.tool_selection import Calls, Clarification, NoCall
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Grounding, Intent, JsonValue, Parameter, ParameterType, Prompting
from tests.unit.extproc.fakes import FakeModels, target

T = ParameterType
CITY = Parameter(name="city", type=T.STR, description="The city", required=True)
DAYS = Parameter(name="days", type=T.INT, description="Number of days", required=True)
UNIT = Parameter(name="unit", type=T.STR, description="Unit", enum=("celsius", "fahrenheit"), default_json='"celsius"')
WEATHER = target("weather", CITY, DAYS, UNIT)
MONEY = target("money", Parameter(name="amount", type=T.FLOAT, description="The amount", required=True))
TARGETS = (WEATHER, MONEY)

GROUNDING = Grounding(threshold=0.5)


@dataclass
class Reading(FakeModels):
    """A function model that finds in the last thing said what `values` has for its words."""

    values: Mapping[str, Any] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        if Role.FUNCTION in self.down:
            raise RoleUnavailable(Role.FUNCTION, "timeout", "fake")
        text = "\n".join(str(message["content"]) for message in messages if message["role"] == "user")
        self.seen.append(text)
        name = str(tools[0]["function"]["name"])  # type: ignore[index,call-overload]
        found = self.values.get(text)
        return Extraction(() if found is None else (FunctionCall(name, found),), self.confidence)


async def outcome(models: FakeModels, *turns: str, grounding: Grounding | None = GROUNDING) -> Any:
    """`turns`: what was said; one that begins with "?" is the gateway's question."""
    messages: list[Message] = [
        {"role": "assistant", "content": f"Could you provide the following details {turn[1:]} ?"}
        if turn.startswith("?")
        else {"role": "user", "content": turn}
        for turn in turns
    ]
    index = TargetIndex(models, TARGETS)
    await index.build()
    prompting = Prompting(intent=Intent(threshold=0.45, sure=0.6), grounding=grounding, targets=TARGETS)
    understanding = IntentResolver(models, index, prompting, today=lambda: date(2026, 11, 22))
    turn = current_turn.read(messages, TARGETS)
    return await understanding.resolve(turn, await understanding.intend(turn))


def called(result: Any) -> tuple[str, dict[str, JsonValue]]:
    assert isinstance(result, Calls), result
    (call,) = result.calls
    return call.target.name, dict(call.arguments)


def asked(result: Any) -> tuple[str, tuple[str, ...]]:
    assert isinstance(result, Clarification), result
    return result.target.name, result.missing


SEATTLE = {"weather in Seattle": {"city": "Seattle"}}


async def test_what_the_model_makes_up_is_asked_for() -> None:
    models = Reading(values={"the weather please": {"city": "Springfield", "days": 3}})
    assert asked(await outcome(models, "the weather please")) == ("weather", ("city", "days"))


async def test_a_question_names_what_was_made_up_beside_what_is_missing() -> None:
    models = Reading(values={"the weather please": {"city": "Springfield"}})
    assert asked(await outcome(models, "the weather please")) == ("weather", ("city", "days"))


async def test_an_optional_value_that_nobody_said_falls_back_to_its_default() -> None:
    models = Reading(values={"weather in Seattle for 5 days": {"city": "Seattle", "days": 5, "unit": "fahrenheit"}})
    assert called(await outcome(models, "weather in Seattle for 5 days")) == (
        "weather",
        {"city": "Seattle", "days": 5, "unit": "celsius"},
    )


async def test_without_grounding_the_model_is_taken_at_its_word() -> None:
    models = Reading(values={"the weather please": {"city": "Springfield", "days": 3}})
    _, arguments = called(await outcome(models, "the weather please", grounding=None))
    assert arguments["city"] == "Springfield"


async def test_an_answer_completes_the_call() -> None:
    _, arguments = called(await outcome(Reading(values=SEATTLE), "weather in Seattle", "?days", "5"))
    assert arguments == {"city": "Seattle", "days": 5, "unit": "celsius"}


async def test_an_answer_may_hold_several_values() -> None:
    values = {
        "the weather": {},
        "Oslo, for three days, in fahrenheit": {"city": "Oslo", "days": 3, "unit": "fahrenheit"},
    }
    result = await outcome(Reading(values=values), "the weather", "?city, days", "Oslo, for three days, in fahrenheit")
    assert called(result)[1] == {"city": "Oslo", "days": 3, "unit": "fahrenheit"}


async def test_a_later_word_wins_over_an_earlier_one() -> None:
    values = {**SEATTLE, "no, make it Portland, 5 days": {"city": "Portland", "days": 5}}
    result = await outcome(Reading(values=values), "weather in Seattle", "?days", "no, make it Portland, 5 days")
    assert called(result)[1]["city"] == "Portland"


async def test_a_correction_of_something_else_asks_again_for_what_is_still_missing() -> None:
    values = {**SEATTLE, "actually I meant Portland": {"city": "Portland"}}
    result = await outcome(Reading(values=values), "weather in Seattle", "?days", "actually I meant Portland")
    assert asked(result) == ("weather", ("days",))
    result = await outcome(
        Reading(values=values), "weather in Seattle", "?days", "actually I meant Portland", "?days", "6"
    )
    assert called(result)[1] == {"city": "Portland", "days": 6, "unit": "celsius"}


async def test_the_user_may_change_to_another_target() -> None:
    values = {**SEATTLE, "I would rather exchange 5 money": {"amount": 5}}
    result = await outcome(Reading(values=values), "weather in Seattle", "?days", "I would rather exchange 5 money")
    assert called(result) == ("money", {"amount": 5.0})
    result = await outcome(
        Reading(values={"exchange 5 money": {"amount": 5}}), "weather", "?days", "forget it, exchange 5 money"
    )
    assert called(result) == ("money", {"amount": 5.0})


@pytest.mark.parametrize("answer", ["never mind", "cancel", "forget it, tell me a joke", "what for?", "I don't know"])
async def test_the_user_may_give_the_dialogue_up(answer: str) -> None:
    result = await outcome(Reading(values=SEATTLE), "weather in Seattle", "?days", answer)
    assert result == NoCall()


async def test_an_answer_without_news_that_means_the_same_target_is_asked_again() -> None:
    result = await outcome(Reading(values=SEATTLE), "weather in Seattle", "?days", "just the weather there I said")
    assert asked(result) == ("weather", ("days",))


async def test_a_forged_question_brings_no_value_along() -> None:
    models = Reading(values={text: {"city": "hello", "days": 5} for text in ("hello", "5", "hello\n5")})
    assert await outcome(models, "hello", "?days", "5") == NoCall()
    assert models.seen == []


async def test_what_was_asked_for_was_not_in_the_prompt_before() -> None:
    values = {
        "weather of all Seasons": {"city": "Seasons"},
        "weather of all Seasons\n5": {"city": "Seasons", "days": 5},
    }
    result = await outcome(Reading(values=values), "weather of all Seasons", "?city, days", "5")
    assert asked(result) == ("weather", ("city",))


async def test_a_word_of_what_the_target_is_about_is_no_value() -> None:
    models = Reading(values={"the weather for 5 days": {"city": "weather", "days": 5}})
    assert asked(await outcome(models, "the weather for 5 days")) == ("weather", ("city",))


async def test_an_answer_that_needs_the_question_is_read_with_it() -> None:
    text = "somewhere between the old river and the new bridge of town"
    values = {"weather for 5 days": {"days": 5}, f"weather for 5 days\n{text}": {"city": "old river", "days": 5}}
    result = await outcome(Reading(values=values), "weather for 5 days", "?city", text)
    assert called(result)[1]["city"] == "old river"


async def test_without_the_function_model_nothing_is_decided() -> None:
    with pytest.raises(RoleUnavailable):
        await outcome(Reading(down={Role.FUNCTION: "timeout"}), "weather in Seattle", "?days", "5")

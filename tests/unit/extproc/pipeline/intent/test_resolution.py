"""Intent resolution with fake models and real rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from extproc.conversation import current_turn
from extproc.conversation.messages import Message
from extproc.inference.interface import Extraction, FunctionCall, RoleUnavailable
from extproc.pipeline.functions.tool_selection import Clarification, NoTargetCall, TargetCalls
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import TargetIndex
from extproc.shared.filter_config import Grounding, Intent, JsonValue, Parameter, ParameterType, Prompting
from extproc.shared.roles import Role
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
class ScriptedModels(FakeModels):
    """A function model that returns the arguments of `values` for the user texts that it reads."""

    arguments_by_text: Mapping[str, Any] = field(default_factory=dict)
    texts_read: list[str] = field(default_factory=list)

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        if Role.FUNCTION in self.down:
            raise RoleUnavailable(Role.FUNCTION, "timeout", "fake")
        text = "\n".join(str(message["content"]) for message in messages if message["role"] == "user")
        self.texts_read.append(text)
        name = str(tools[0]["function"]["name"])  # type: ignore[index,call-overload]
        arguments = self.arguments_by_text.get(text)
        return Extraction(() if arguments is None else (FunctionCall(name, arguments),), self.confidence)


async def outcome(models: FakeModels, *turns: str, grounding: Grounding | None = GROUNDING) -> Any:
    """Resolves a conversation. `turns`: the messages; "?days" is the gateway's question for `days`."""
    messages: list[Message] = [
        {"role": "assistant", "content": f"Could you provide the following details {turn[1:]} ?"}
        if turn.startswith("?")
        else {"role": "user", "content": turn}
        for turn in turns
    ]
    index = TargetIndex(models, TARGETS)
    await index.build()
    prompting = Prompting(intent=Intent(threshold=0.45, sure=0.6), grounding=grounding, targets=TARGETS)
    intent_resolver = IntentResolver(models, index, prompting, today=lambda: date(2026, 11, 22))
    turn = current_turn.read(messages, TARGETS)
    return await intent_resolver.resolve(turn, await intent_resolver.find_candidates(turn))


def only_call(result: Any) -> tuple[str, dict[str, JsonValue]]:
    assert isinstance(result, TargetCalls), result
    (call,) = result.calls
    return call.target.name, dict(call.arguments)


def requested(result: Any) -> tuple[str, tuple[str, ...]]:
    assert isinstance(result, Clarification), result
    return result.target.name, result.missing


SEATTLE = {"weather in Seattle": {"city": "Seattle"}}


async def test_asks_for_values_that_the_model_invents() -> None:
    models = ScriptedModels(arguments_by_text={"the weather please": {"city": "Springfield", "days": 3}})
    assert requested(await outcome(models, "the weather please")) == ("weather", ("city", "days"))


async def test_question_names_invented_and_missing_values() -> None:
    models = ScriptedModels(arguments_by_text={"the weather please": {"city": "Springfield"}})
    assert requested(await outcome(models, "the weather please")) == ("weather", ("city", "days"))


async def test_unsupported_optional_value_falls_back_to_default() -> None:
    models = ScriptedModels(
        arguments_by_text={"weather in Seattle for 5 days": {"city": "Seattle", "days": 5, "unit": "fahrenheit"}}
    )
    assert only_call(await outcome(models, "weather in Seattle for 5 days")) == (
        "weather",
        {"city": "Seattle", "days": 5, "unit": "celsius"},
    )


async def test_without_grounding_invented_values_are_kept() -> None:
    models = ScriptedModels(arguments_by_text={"the weather please": {"city": "Springfield", "days": 3}})
    _, arguments = only_call(await outcome(models, "the weather please", grounding=None))
    assert arguments["city"] == "Springfield"


async def test_answer_completes_the_call() -> None:
    _, arguments = only_call(
        await outcome(ScriptedModels(arguments_by_text=SEATTLE), "weather in Seattle", "?days", "5")
    )
    assert arguments == {"city": "Seattle", "days": 5, "unit": "celsius"}


async def test_answer_can_hold_several_values() -> None:
    arguments_by_text = {
        "the weather": {},
        "Oslo, for three days, in fahrenheit": {"city": "Oslo", "days": 3, "unit": "fahrenheit"},
    }
    result = await outcome(
        ScriptedModels(arguments_by_text=arguments_by_text),
        "the weather",
        "?city, days",
        "Oslo, for three days, in fahrenheit",
    )
    assert only_call(result)[1] == {"city": "Oslo", "days": 3, "unit": "fahrenheit"}


async def test_later_value_replaces_earlier_one() -> None:
    arguments_by_text = {**SEATTLE, "no, make it Portland, 5 days": {"city": "Portland", "days": 5}}
    result = await outcome(
        ScriptedModels(arguments_by_text=arguments_by_text),
        "weather in Seattle",
        "?days",
        "no, make it Portland, 5 days",
    )
    assert only_call(result)[1]["city"] == "Portland"


async def test_correction_of_another_value_asks_again_for_the_missing_one() -> None:
    arguments_by_text = {**SEATTLE, "actually I meant Portland": {"city": "Portland"}}
    result = await outcome(
        ScriptedModels(arguments_by_text=arguments_by_text), "weather in Seattle", "?days", "actually I meant Portland"
    )
    assert requested(result) == ("weather", ("days",))
    result = await outcome(
        ScriptedModels(arguments_by_text=arguments_by_text),
        "weather in Seattle",
        "?days",
        "actually I meant Portland",
        "?days",
        "6",
    )
    assert only_call(result)[1] == {"city": "Portland", "days": 6, "unit": "celsius"}


async def test_user_can_change_to_another_target() -> None:
    arguments_by_text = {**SEATTLE, "I would rather exchange 5 money": {"amount": 5}}
    result = await outcome(
        ScriptedModels(arguments_by_text=arguments_by_text),
        "weather in Seattle",
        "?days",
        "I would rather exchange 5 money",
    )
    assert only_call(result) == ("money", {"amount": 5.0})
    result = await outcome(
        ScriptedModels(arguments_by_text={"exchange 5 money": {"amount": 5}}),
        "weather",
        "?days",
        "forget it, exchange 5 money",
    )
    assert only_call(result) == ("money", {"amount": 5.0})


@pytest.mark.parametrize("answer", ["never mind", "cancel", "forget it, tell me a joke", "what for?", "I don't know"])
async def test_user_can_cancel_the_dialogue(answer: str) -> None:
    result = await outcome(ScriptedModels(arguments_by_text=SEATTLE), "weather in Seattle", "?days", answer)
    assert result == NoTargetCall()


async def test_answer_without_a_value_repeats_the_question() -> None:
    result = await outcome(
        ScriptedModels(arguments_by_text=SEATTLE), "weather in Seattle", "?days", "just the weather there I said"
    )
    assert requested(result) == ("weather", ("days",))


async def test_forged_question_adds_no_value() -> None:
    models = ScriptedModels(
        arguments_by_text={text: {"city": "hello", "days": 5} for text in ("hello", "5", "hello\n5")}
    )
    assert await outcome(models, "hello", "?days", "5") == NoTargetCall()
    assert models.texts_read == []


async def test_initial_prompt_gives_no_value_for_a_requested_parameter() -> None:
    arguments_by_text = {
        "weather of all Seasons": {"city": "Seasons"},
        "weather of all Seasons\n5": {"city": "Seasons", "days": 5},
    }
    result = await outcome(
        ScriptedModels(arguments_by_text=arguments_by_text), "weather of all Seasons", "?city, days", "5"
    )
    assert requested(result) == ("weather", ("city",))


async def test_word_of_the_target_description_is_no_value() -> None:
    models = ScriptedModels(arguments_by_text={"the weather for 5 days": {"city": "weather", "days": 5}})
    assert requested(await outcome(models, "the weather for 5 days")) == ("weather", ("city",))


async def test_answer_that_needs_the_question_is_read_with_the_dialogue() -> None:
    text = "somewhere between the old river and the new bridge of town"
    arguments_by_text = {
        "weather for 5 days": {"days": 5},
        f"weather for 5 days\n{text}": {"city": "old river", "days": 5},
    }
    result = await outcome(ScriptedModels(arguments_by_text=arguments_by_text), "weather for 5 days", "?city", text)
    assert only_call(result)[1]["city"] == "old river"


async def test_unavailable_function_model_raises() -> None:
    with pytest.raises(RoleUnavailable):
        await outcome(ScriptedModels(down={Role.FUNCTION: "timeout"}), "weather in Seattle", "?days", "5")


async def conversation(models: FakeModels, *texts: str) -> Any:
    """Resolves a conversation whose questions an LLM worded: the user and the LLM speak in turn."""
    messages: list[Message] = [
        {"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(texts)
    ]
    index = TargetIndex(models, TARGETS)
    await index.build()
    prompting = Prompting(intent=Intent(threshold=0.45, sure=0.6), grounding=GROUNDING, targets=TARGETS)
    intent_resolver = IntentResolver(models, index, prompting, today=lambda: date(2026, 11, 22))
    turn = current_turn.read(messages, TARGETS)
    return await intent_resolver.resolve(turn, await intent_resolver.find_candidates(turn))


async def test_answer_to_a_question_of_an_llm_is_read_with_the_request() -> None:
    models = ScriptedModels(arguments_by_text={"weather in Seattle\n5": {"city": "Seattle", "days": 5}})
    result = await conversation(models, "weather in Seattle", "For how many days?", "5")
    assert only_call(result) == ("weather", {"city": "Seattle", "days": 5, "unit": "celsius"})


async def test_answer_to_a_question_of_an_llm_can_leave_values_missing() -> None:
    models = ScriptedModels(arguments_by_text={"the weather\nSeattle": {"city": "Seattle", "days": 3}})
    result = await conversation(models, "the weather", "Where?", "Seattle")
    assert requested(result) == ("weather", ("days",))


async def test_answer_without_a_value_means_no_target() -> None:
    models = ScriptedModels(
        arguments_by_text={"weather in Seattle for 5 days\nOh, I see": {"city": "Seattle", "days": 5}}
    )
    result = await conversation(models, "weather in Seattle for 5 days", "Rain. Do you like rain?", "Oh, I see")
    assert isinstance(result, NoTargetCall)


async def test_agreement_calls_what_the_llm_reads_back() -> None:
    question = "So the weather in Seattle for 5 days?"
    models = ScriptedModels(
        arguments_by_text={f"the weather in Seattle\nYes, please.\n{question}": {"city": "Seattle", "days": 5}}
    )
    result = await conversation(models, "the weather in Seattle", question, "Yes, please.")
    assert only_call(result)[1] == {"city": "Seattle", "days": 5, "unit": "celsius"}


async def test_words_without_a_question_before_them_are_read_alone() -> None:
    models = ScriptedModels(arguments_by_text={})
    result = await conversation(models, "weather in Seattle", "It rains.", "5")
    assert isinstance(result, NoTargetCall)
    assert not models.texts_read


async def test_missing_value_is_taken_from_earlier_texts() -> None:
    models = ScriptedModels(
        arguments_by_text={
            "the weather for 5 days": {"days": 5},
            "I live in Seattle\nthe weather for 5 days": {"city": "Seattle", "days": 5},
        }
    )
    result = await conversation(models, "I live in Seattle", "How nice.", "the weather for 5 days")
    assert only_call(result)[1] == {"city": "Seattle", "days": 5, "unit": "celsius"}


async def test_refused_offer_means_no_target() -> None:
    models = ScriptedModels(arguments_by_text={"No, I don't need the weather for 5 days": {"days": 5}})
    result = await conversation(
        models, "weather in Seattle", "Shall I look it up?", "No, I don't need the weather for 5 days"
    )
    assert isinstance(result, NoTargetCall)
    assert not models.texts_read

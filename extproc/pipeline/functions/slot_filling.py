"""The values of a dialogue in which something was asked for: read in the whole of it, and answer by answer, so that the
later word wins. Used by understanding.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from extproc.conversation.current_turn import Exchange, Turn
from extproc.endpoints.chat_completions import Message
from extproc.inference.interface import Models
from extproc.pipeline.functions import tool_selection
from extproc.pipeline.functions.argument_validation import check
from extproc.pipeline.functions.dialogue_rules import corrects, is_request, read_off
from extproc.pipeline.functions.grounding import Said, grounded
from extproc.pipeline.functions.grounding.datetimes import in_format, overlooked
from extproc.pipeline.functions.grounding.enums import named
from extproc.pipeline.functions.grounding.word_forms import words
from extproc.pipeline.functions.tool_selection import Call
from extproc.shared.filter_config import Grounding, JsonValue, Parameter, Target

# What an answer gives counts only where it was said, also where grounding is off.
_DEFAULT: Final = Grounding(threshold=0.5)
# Of a longer dialogue the last answers are read by themselves too.
_ANSWERS: Final = 4
# An answer of so many words is all said with what was read off it.
_TERSE: Final = 2


@dataclass(frozen=True, slots=True)
class Gathered:
    """`calls`: what is to be called, as far as it is known. `news`: whether the last answer brought anything.

    `refused`: what the last answer gave for a path and may not stand in one.
    """

    calls: tuple[Call, ...]
    news: bool
    refused: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Reading:
    """What one answer gives. `corrects`: it takes back what was said before; `whole`: it is a request by itself."""

    asked: tuple[str, ...]
    corrects: bool
    whole: bool
    values: Mapping[str, JsonValue] = field(default_factory=dict)
    refused: tuple[str, ...] = ()

    @property
    def renews(self) -> bool:
        """Whether it counts for more than what was said before, beside what was asked for."""
        return self.corrects or self.whole or not any(name in self.values for name in self.asked)


@dataclass(frozen=True, slots=True)
class Gathering:
    """One dialogue about `targets`, the likeliest first."""

    models: Models
    grounding: Grounding | None
    targets: Sequence[Target]
    turn: Turn
    today: date
    # Under it a call of the function model is a guess.
    confidence: float

    async def gather(self) -> Gathered:
        """Raises `RoleUnavailable`."""
        exchanges = self.turn.exchanges[-_ANSWERS:]
        answers = asyncio.gather(*(self._reading(exchange) for exchange in exchanges))
        begun, readings = await asyncio.gather(self._read([{"role": "user", "content": self.turn.opening}]), answers)
        # What the first question asked for was not in the prompt before it, whatever the model sees there now.
        calls = [_without(call, self.turn.exchanges[0].asked) for call in begun] or [Call(self.targets[0], {})]
        if any(reading.corrects for reading in readings):
            # "No, Portland" is not Portland too.
            calls = calls[:1]
        merged = [Call(call.target, _merged(call, readings, single=len(calls) == 1)) for call in calls]
        news = bool(readings[-1].values)
        if not (is_request(self.turn.answer) and not news) and any(_missing(call) for call in merged):
            # What only the questions make clear: "Happy birthday!" is the text of a message.
            context = await self._in_context()
            filled = [Call(call.target, self._filled(call.target, {**context, **call.arguments})) for call in merged]
            news = news or any(name in context and name not in merged[0].arguments for name in readings[-1].asked)
            merged = filled
        refused = tuple(name for name in readings[-1].refused if name not in readings[-1].values)
        return Gathered(tuple(merged), news, refused)

    async def _read(self, messages: Sequence[Message]) -> list[Call]:
        """What the model reads in these messages. A guess too: what was said counts, and nothing else."""
        extraction = await self.models.call_functions(
            messages, [tool_selection.tool(target) for target in self.targets]
        )
        by_name = {target.name: target for target in self.targets}
        said = Said(self.turn.meant, self.today)
        calls: list[Call] = []
        for proposed in extraction.calls[: tool_selection.MAX_CALLS]:
            if target := by_name.get(proposed.name):
                given = self._typed(target, proposed.arguments)
                if self.grounding is not None:
                    given = await grounded(self.models, self.grounding, target, given, said)
                calls.append(Call(target, given))
        return calls

    async def _reading(self, exchange: Exchange) -> _Reading:
        target = self.targets[0]
        asked = [parameter for parameter in target.parameters if parameter.name in exchange.asked]
        read = read_off(asked, exchange.answer, self.today)
        values = self._typed(target, read)
        refused = self._refused(target, read)
        reading = _Reading(exchange.asked, corrects(exchange.answer), is_request(exchange.answer), values, refused)
        if len(values) == len(asked) and len(exchange.answer.split()) <= _TERSE:
            return reading
        extraction = await self.models.call_functions(
            [{"role": "user", "content": exchange.answer}], [tool_selection.tool(target)]
        )
        given = next((call.arguments for call in extraction.calls if call.name == target.name), {})
        if extraction.confidence < self.confidence and not reading.corrects:
            # A guess about an answer is good for what was asked, and for nothing else.
            given = {name: value for name, value in given.items() if name in reading.asked}
        found = await self._said_in(exchange.answer, target, given)
        refused = (*refused, *self._refused(target, given))
        return replace(reading, values=_placed(asked, target, values, found), refused=tuple(dict.fromkeys(refused)))

    def _filled(self, target: Target, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        return {**arguments, **overlooked(target, arguments, Said(self.turn.meant, self.today))}

    async def _in_context(self) -> Mapping[str, JsonValue]:
        """What is found when the dialogue is read as a whole."""
        calls = await self._read(self.turn.dialogue)
        if not calls:
            return {}
        answers = "\n".join(exchange.answer for exchange in self.turn.exchanges)
        asked = {name: calls[0].arguments[name] for name in self.turn.exchanges[0].asked if name in calls[0].arguments}
        said = await self._said_in(answers, calls[0].target, asked)
        return {name: value for name, value in calls[0].arguments.items() if name not in asked or name in said}

    def _typed(self, target: Target, given: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """What is given, as declared; no defaults."""
        arguments = check(target, in_format(target, given, self.today)).arguments
        return {name: value for name, value in arguments.items() if name in given}

    def _refused(self, target: Target, given: Mapping[str, JsonValue]) -> tuple[str, ...]:
        """The parameters whose values may not stand in the path."""
        refused = tool_selection.refused(target, in_format(target, given, self.today))
        return tuple(refused)

    async def _said_in(self, answer: str, target: Target, given: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        typed = {name: value for name, value in self._typed(target, given).items() if _is_choice(target, name, answer)}
        return await grounded(self.models, self.grounding or _DEFAULT, target, typed, Said(answer, self.today))


def _without(call: Call, names: Sequence[str]) -> Call:
    return Call(call.target, {name: value for name, value in call.arguments.items() if name not in names})


def _missing(call: Call) -> tuple[str, ...]:
    return check(call.target, call.arguments).missing


def _is_choice(target: Target, name: str, answer: str) -> bool:
    """Whether the answer names one member of an enum, and not several to ask about them."""
    parameter = next(each for each in target.parameters if each.name == name)
    return not parameter.enum or len(named(parameter, answer, words(answer))) <= 1


def _placed(
    asked: Sequence[Parameter], target: Target, read: Mapping[str, JsonValue], found: Mapping[str, JsonValue]
) -> dict[str, JsonValue]:
    """What was read off an answer, and what the model found in it.

    The model does not know what was asked: a value that it puts under a name that was not, while one of the same kind
    was and got none, belongs to that: "a hundred dollars" to the currency that was asked for.
    """
    values = {**found, **read}
    kinds = {parameter.name: (parameter.type, parameter.format, parameter.enum) for parameter in target.parameters}
    for parameter in asked:
        if parameter.name in values:
            continue
        others = [name for name in found if name not in {each.name for each in asked} and name in values]
        same = [name for name in others if kinds[name] == kinds[parameter.name]]
        if len(same) == 1:
            values[parameter.name] = values.pop(same[0])
    return values


def _merged(call: Call, readings: Sequence[_Reading], *, single: bool) -> dict[str, JsonValue]:
    """The call's arguments with what the answers gave since. Of several calls each keeps what is its own."""
    arguments = dict(call.arguments)
    for reading in readings:
        for name, value in reading.values.items():
            if name not in arguments or (single and (name in reading.asked or reading.renews)):
                arguments[name] = value
    return arguments

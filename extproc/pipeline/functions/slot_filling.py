"""Slot filling: the argument values of a dialogue with clarifications. Used by intent/resolution.py.

Reads the initial prompt, each answer and, if values are still missing, the whole dialogue. A later value wins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from extproc.conversation.current_turn import AnsweredClarification, CurrentTurn
from extproc.conversation.messages import Message
from extproc.inference.interface import Models
from extproc.pipeline.functions import tool_selection
from extproc.pipeline.functions.argument_validation import validate
from extproc.pipeline.functions.dialogue_rules import answer_values, is_correction, is_request
from extproc.pipeline.functions.grounding import ParsedText, supported_arguments
from extproc.pipeline.functions.grounding.datetimes import normalize_datetimes
from extproc.pipeline.functions.grounding.enums import named_members
from extproc.pipeline.functions.grounding.missing_arguments import infer_missing
from extproc.pipeline.functions.grounding.word_forms import split_words
from extproc.pipeline.functions.tool_selection import TargetCall
from extproc.shared.filter_config import Grounding, JsonValue, Parameter, Target

# The values of an answer are always grounded in it, even if grounding is off.
_DEFAULT_GROUNDING: Final = Grounding(threshold=0.5)
# In a longer dialogue only this many of the last answers are read by themselves.
_MAX_ANSWERS: Final = 4
# An answer with this many words or fewer holds nothing but the values that the rules find.
_SHORT_ANSWER_WORDS: Final = 2


@dataclass(frozen=True, slots=True)
class FilledSlots:
    """`calls`: the calls with the arguments known so far. `has_new_values`: the last answer gave a value.

    `rejected`: parameters whose value in the last answer is not allowed in the URL path of the call.
    """

    calls: tuple[TargetCall, ...]
    has_new_values: bool
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _AnswerValues:
    """The values of one answer. `requested`: the parameters of the question."""

    requested: tuple[str, ...]
    is_correction: bool
    is_request: bool
    values: Mapping[str, JsonValue] = field(default_factory=dict)
    rejected: tuple[str, ...] = ()

    @property
    def overrides(self) -> bool:
        """All values of the answer replace earlier ones, not only those of the requested parameters."""
        return self.is_correction or self.is_request or not any(name in self.values for name in self.requested)


@dataclass(frozen=True, slots=True)
class SlotFiller:
    """Fills the arguments of one dialogue about `targets`, the likeliest first."""

    models: Models
    grounding: Grounding | None
    targets: Sequence[Target]
    turn: CurrentTurn
    today: date
    # A call of the function model below this confidence is a guess.
    confidence: float

    async def fill(self) -> FilledSlots:
        """Returns the arguments known so far. Raises `RoleUnavailable`."""
        clarifications = self.turn.clarifications[-_MAX_ANSWERS:]
        initial_message: Message = {"role": "user", "content": self.turn.initial_prompt}
        initial_calls, answers = await asyncio.gather(
            self._propose_calls([initial_message]),
            asyncio.gather(*(self._read_answer(clarification) for clarification in clarifications)),
        )
        # The first question requested values that the prompt does not hold. If the model gave some, it invented them.
        first_requested = self.turn.clarifications[0].parameters
        calls = [_without(call, first_requested) for call in initial_calls] or [TargetCall(self.targets[0], {})]
        if any(answer.is_correction for answer in answers):
            # "No, Portland" replaces the first city and adds no second call.
            calls = calls[:1]
        merged = [TargetCall(call.target, _merge(call, answers, single=len(calls) == 1)) for call in calls]
        has_new_values = bool(answers[-1].values)
        if not (is_request(self.turn.latest_text) and not has_new_values) and any(_missing(call) for call in merged):
            # Some answers are clear only with their question: "Happy birthday!" is the text of a message.
            in_dialogue = await self._dialogue_values()
            filled = [
                TargetCall(call.target, self._with_inferred(call.target, {**in_dialogue, **call.arguments}))
                for call in merged
            ]
            has_new_values = has_new_values or any(
                name in in_dialogue and name not in merged[0].arguments for name in answers[-1].requested
            )
            merged = filled
        elif len(merged) == 1:
            merged = [TargetCall(call.target, self._with_inferred(call.target, call.arguments)) for call in merged]
        rejected = tuple(name for name in answers[-1].rejected if name not in answers[-1].values)
        return FilledSlots(tuple(merged), has_new_values, rejected)

    async def _propose_calls(self, messages: Sequence[Message]) -> list[TargetCall]:
        """Returns the function model's calls for `messages`, even guesses: grounding removes invented values."""
        extraction = await self.models.call_functions(
            messages, [tool_selection.openai_tool(target) for target in self.targets]
        )
        by_name = {target.name: target for target in self.targets}
        text = ParsedText(self.turn.user_text, self.today)
        calls: list[TargetCall] = []
        for proposed in extraction.calls[: tool_selection.MAX_CALLS]:
            if target := by_name.get(proposed.name):
                arguments = self._typed(target, proposed.arguments)
                if self.grounding is not None:
                    arguments = await supported_arguments(self.models, self.grounding, target, arguments, text)
                calls.append(TargetCall(target, arguments))
        return calls

    async def _read_answer(self, clarification: AnsweredClarification) -> _AnswerValues:
        target = self.targets[0]
        answer = clarification.answer
        requested = [parameter for parameter in target.parameters if parameter.name in clarification.parameters]
        by_rules = answer_values(requested, answer, self.today)
        values = self._typed(target, by_rules)
        result = _AnswerValues(
            clarification.parameters,
            is_correction(answer),
            is_request(answer),
            values,
            self._rejected(target, by_rules),
        )
        if len(values) == len(requested) and len(answer.split()) <= _SHORT_ANSWER_WORDS:
            return result
        extraction = await self.models.call_functions(
            [{"role": "user", "content": answer}], [tool_selection.openai_tool(target)]
        )
        by_model = next((call.arguments for call in extraction.calls if call.name == target.name), {})
        if extraction.confidence < self.confidence and not result.is_correction:
            # A guess counts only for the requested parameters.
            by_model = {name: value for name, value in by_model.items() if name in result.requested}
        supported = await self._supported_by(answer, target, by_model)
        rejected = dict.fromkeys((*result.rejected, *self._rejected(target, by_model)))
        return replace(result, values=_combine(requested, target, values, supported), rejected=tuple(rejected))

    def _with_inferred(self, target: Target, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        return {**arguments, **infer_missing(target, arguments, ParsedText(self.turn.user_text, self.today))}

    async def _dialogue_values(self) -> Mapping[str, JsonValue]:
        """Returns the arguments that the function model finds in the whole dialogue."""
        calls = await self._propose_calls(self.turn.dialogue)
        if not calls:
            return {}
        answers = "\n".join(clarification.answer for clarification in self.turn.clarifications)
        first_requested = self.turn.clarifications[0].parameters
        requested = {name: calls[0].arguments[name] for name in first_requested if name in calls[0].arguments}
        supported = await self._supported_by(answers, calls[0].target, requested)
        return {name: value for name, value in calls[0].arguments.items() if name not in requested or name in supported}

    def _typed(self, target: Target, arguments: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Returns the arguments with their declared types, without defaults."""
        typed = validate(target, normalize_datetimes(target, arguments, self.today)).arguments
        return {name: value for name, value in typed.items() if name in arguments}

    def _rejected(self, target: Target, arguments: Mapping[str, JsonValue]) -> tuple[str, ...]:
        """Returns the parameters whose values are not allowed in the URL path."""
        return tuple(tool_selection.rejected_values(target, normalize_datetimes(target, arguments, self.today)))

    async def _supported_by(
        self, answer: str, target: Target, arguments: Mapping[str, JsonValue]
    ) -> Mapping[str, JsonValue]:
        typed = self._typed(target, arguments)
        candidates = {name: value for name, value in typed.items() if _is_unambiguous(target, name, answer)}
        text = ParsedText(answer, self.today)
        return await supported_arguments(self.models, self.grounding or _DEFAULT_GROUNDING, target, candidates, text)


def _without(call: TargetCall, names: Sequence[str]) -> TargetCall:
    return TargetCall(call.target, {name: value for name, value in call.arguments.items() if name not in names})


def _missing(call: TargetCall) -> tuple[str, ...]:
    return validate(call.target, call.arguments).missing


def _is_unambiguous(target: Target, name: str, answer: str) -> bool:
    """Returns False if the answer names several members of the parameter's enum, for instance to ask about them."""
    parameter = next(each for each in target.parameters if each.name == name)
    return not parameter.enum or len(named_members(parameter, answer, split_words(answer))) <= 1


def _combine(
    requested: Sequence[Parameter],
    target: Target,
    by_rules: Mapping[str, JsonValue],
    by_model: Mapping[str, JsonValue],
) -> dict[str, JsonValue]:
    """Combines the values that rules found in an answer with those of the function model.

    The model does not know the question. If a requested parameter has no value, and exactly one other parameter of the
    same kind got one, the value moves to the requested one: "a hundred dollars" to the requested currency.
    """
    values = {**by_model, **by_rules}
    kinds = {parameter.name: (parameter.type, parameter.format, parameter.enum) for parameter in target.parameters}
    for parameter in requested:
        if parameter.name in values:
            continue
        others = [name for name in by_model if name not in {each.name for each in requested} and name in values]
        same_kind = [name for name in others if kinds[name] == kinds[parameter.name]]
        if len(same_kind) == 1:
            values[parameter.name] = values.pop(same_kind[0])
    return values


def _merge(call: TargetCall, answers: Sequence[_AnswerValues], *, single: bool) -> dict[str, JsonValue]:
    """Adds the values of the answers to the call's arguments. They replace existing values only in a single call."""
    arguments = dict(call.arguments)
    for answer in answers:
        for name, value in answer.values.items():
            if name not in arguments or (single and (name in answer.requested or answer.overrides)):
                arguments[name] = value
    return arguments

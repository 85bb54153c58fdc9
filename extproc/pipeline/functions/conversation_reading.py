"""Reads the arguments of a call from a conversation whose questions an LLM worded. Used by intent/resolution.py.

The gateway does not know which parameters such a question means. So the user's last texts are read as one request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from extproc.conversation.current_turn import CurrentTurn
from extproc.inference.interface import Models
from extproc.pipeline.functions import tool_selection
from extproc.pipeline.functions.argument_validation import validate
from extproc.pipeline.functions.dialogue_rules import is_agreement, is_question
from extproc.pipeline.functions.grounding import ParsedText, supported_arguments
from extproc.pipeline.functions.grounding.datetimes import normalize_datetimes
from extproc.pipeline.functions.grounding.missing_arguments import infer_missing
from extproc.pipeline.functions.tool_selection import Clarification, NoTargetCall, TargetCall, TargetCalls
from extproc.shared.filter_config import Grounding, JsonValue, Target

# The values of a conversation are always grounded in it, even if grounding is off.
_DEFAULT_GROUNDING: Final = Grounding(threshold=0.5)


@dataclass(frozen=True, slots=True)
class ConversationReader:
    """Reads the last texts of one conversation."""

    models: Models
    grounding: Grounding | None
    today: date

    async def read(self, turn: CurrentTurn, targets: Sequence[Target]) -> TargetCalls | Clarification | NoTargetCall:
        """Returns the decision on the answer to a question of an LLM. Raises `RoleUnavailable`.

        An answer without a value for a call means no target, unless it agrees to a call that the question reads back.
        """
        if is_question(turn.latest_text):
            return NoTargetCall()
        agrees = is_agreement(turn.latest_text)
        text = f"{turn.recent_text}\n{turn.asked}" if agrees else turn.recent_text
        call = await self._call(text, targets)
        if call is None:
            return NoTargetCall()
        latest = turn.asked if agrees else turn.latest_text
        if not await self._supported(call, latest):
            return NoTargetCall()
        selection = tool_selection.validate_calls([(call.target, call.arguments)])
        return selection if isinstance(selection, TargetCalls) or not agrees else NoTargetCall()

    async def complete(self, turn: CurrentTurn, question: Clarification) -> TargetCalls | Clarification:
        """Fills the missing values of a question with those that earlier texts give. Raises `RoleUnavailable`."""
        given = next((call.arguments for call in question.proposed if call.target == question.target), {})
        earlier = await self._call(turn.recent_text, [question.target])
        if earlier is None:
            return question
        values = {name: value for name, value in earlier.arguments.items() if name in question.missing}
        kept = {name: value for name, value in given.items() if name not in question.missing}
        return tool_selection.validate_calls([(question.target, {**kept, **values})])

    async def _call(self, text: str, targets: Sequence[Target]) -> TargetCall | None:
        """Returns the first call that the function model finds in `text`, with the arguments that it supports."""
        extraction = await self.models.call_functions(
            [{"role": "user", "content": text}],
            [tool_selection.openai_tool(target, all_optional=True) for target in targets],
        )
        by_name = {target.name: target for target in targets}
        proposed = next((call for call in extraction.calls if call.name in by_name), None)
        if proposed is None:
            return None
        target = by_name[proposed.name]
        typed = validate(target, normalize_datetimes(target, proposed.arguments, self.today)).arguments
        call = TargetCall(target, {name: value for name, value in typed.items() if name in proposed.arguments})
        arguments = await self._supported(call, text)
        return TargetCall(target, {**arguments, **infer_missing(target, arguments, ParsedText(text, self.today))})

    async def _supported(self, call: TargetCall, text: str) -> dict[str, JsonValue]:
        return await supported_arguments(
            self.models,
            self.grounding or _DEFAULT_GROUNDING,
            call.target,
            call.arguments,
            ParsedText(text, self.today),
        )

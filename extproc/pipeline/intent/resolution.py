"""Intent resolution: from the current turn to calls of prompt targets, a clarification, or no call.

Used by the ingress pipeline: `find_candidates` runs beside the guards, `resolve` after them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from extproc.conversation.current_turn import CurrentTurn
from extproc.inference.interface import Models
from extproc.pipeline.functions import tool_selection
from extproc.pipeline.functions.conversation_reading import ConversationReader
from extproc.pipeline.functions.dialogue_rules import cancellation, is_question, is_refusal
from extproc.pipeline.functions.grounding import ParsedText, supported_arguments
from extproc.pipeline.functions.grounding.missing_arguments import infer_missing
from extproc.pipeline.functions.slot_filling import SlotFiller
from extproc.pipeline.functions.tool_selection import (
    Clarification,
    NoTargetCall,
    TargetCall,
    TargetCalls,
    ToolSelection,
)
from extproc.pipeline.intent.splitting import split_requests
from extproc.pipeline.intent.target_index import ScoredTarget, TargetIndex
from extproc.shared.filter_config import JsonValue, Prompting, Target

# The function model is shown at most this many targets: reading one more costs it a quarter of a second.
_MAX_CANDIDATES: Final = 4
# An answer changes to another target only if that one scores higher by this lead, and if the answer has this many
# words: one or two words are more often a value than a request.
_CHANGE_LEAD: Final = 0.1
_CHANGE_WORDS: Final = 3


@dataclass(frozen=True, slots=True)
class IntentResolver:
    """`today`: returns the gateway's local date. Relative dates are relative to it."""

    models: Models
    index: TargetIndex
    prompting: Prompting
    today: Callable[[], date] = date.today

    async def find_candidates(self, turn: CurrentTurn) -> Sequence[ScoredTarget]:
        """Returns the targets that the function model is shown, best first. Raises `RoleUnavailable`.

        In a dialogue these are the targets of the last question. Without a dialogue, or if the answer cancels it or
        changes to another target, they are the targets that the latest text matches.
        """
        if not turn.pending_targets:
            if turn.asked and is_refusal(turn.latest_text):
                return ()
            own = await self._candidates_of(turn.user_text)
            if not turn.asked or self._is_sure(own):
                return own
            return await self._candidates_of(turn.recent_text) or own
        new_request = cancellation(turn.latest_text)
        if new_request is not None:
            return self._close(await self.index.rank(new_request)) if new_request else ()
        initial = cancellation(turn.initial_prompt) or turn.initial_prompt
        ranked_initial, ranked_answer = await asyncio.gather(
            self.index.rank(initial), self.index.rank(turn.latest_text)
        )
        # The gateway asks only about targets over the threshold. An unmarked question about any other target is not
        # from the gateway.
        plausible = ranked_initial if turn.question_is_marked else self._over_threshold(ranked_initial)
        pending = _pending(plausible, turn) or _pending(await self._candidates_of(initial), turn)
        if not pending or self._changes_target(turn, ranked_answer):
            return self._close(ranked_answer)
        return pending[: self.prompting.intent.candidates]

    async def _candidates_of(self, text: str) -> Sequence[ScoredTarget]:
        """Returns the targets close to the whole text, then those that a part of it matches with the score `sure`."""
        candidates = list(self._close(await self.index.rank(text)))
        if candidates:
            # After the whole text, not concurrently: most prompts match no target, and each part costs an embedding.
            parts = await asyncio.gather(*(self.index.rank(part) for part in split_requests(text)))
            for best in sorted((ranked[0] for ranked in parts), key=lambda scored: -scored.score):
                known = any(best.target == candidate.target for candidate in candidates)
                if best.score >= self.prompting.intent.sure and not known and len(candidates) < _MAX_CANDIDATES:
                    candidates.append(best)
        return candidates

    def _changes_target(self, turn: CurrentTurn, ranked: Sequence[ScoredTarget]) -> bool:
        """Returns True if the answer clearly means another target. `ranked`: the targets, scored for the answer."""
        if ranked[0].target.name in turn.pending_targets or len(turn.latest_text.split()) < _CHANGE_WORDS:
            return False
        pending = max(scored.score for scored in ranked if scored.target.name in turn.pending_targets)
        return ranked[0].score >= self.prompting.intent.sure and ranked[0].score - pending >= _CHANGE_LEAD

    def _over_threshold(self, ranked: Sequence[ScoredTarget]) -> Sequence[ScoredTarget]:
        return [scored for scored in ranked if scored.score >= self.prompting.intent.threshold]

    def _is_sure(self, ranked: Sequence[ScoredTarget]) -> bool:
        return bool(ranked) and ranked[0].score >= self.prompting.intent.sure

    def _close(self, ranked: Sequence[ScoredTarget]) -> Sequence[ScoredTarget]:
        """Returns the best targets within the margin; none if no target is over the threshold."""
        intent = self.prompting.intent
        if not self._over_threshold(ranked):
            return ()
        close = [scored for scored in ranked if scored.score >= ranked[0].score - intent.margin]
        return close[: intent.candidates]

    async def resolve(self, turn: CurrentTurn, candidates: Sequence[ScoredTarget]) -> ToolSelection:
        """Selects the calls. `candidates`: the result of `find_candidates`. Raises `RoleUnavailable`."""
        if not turn.pending_targets:
            if candidates and turn.asked and not self._is_sure(await self._rank_answer(turn)):
                return await self._reply_reader.read(turn, [scored.target for scored in candidates])
            selection = await self._select(turn, candidates)
            if isinstance(selection, Clarification) and turn.history and not selection.rejected:
                return await self._reply_reader.complete(turn, selection)
            return selection
        new_request = cancellation(turn.latest_text)
        pending = [scored.target for scored in _pending(candidates, turn)]
        if new_request is not None or not pending:
            return await self._select(turn.standalone(new_request), candidates)
        return await self._continue(turn, pending)

    @property
    def _reply_reader(self) -> ConversationReader:
        return ConversationReader(self.models, self.prompting.grounding, self.today())

    async def _select(self, turn: CurrentTurn, candidates: Sequence[ScoredTarget]) -> ToolSelection:
        if not candidates:
            return NoTargetCall()
        selection = await tool_selection.select_calls(
            self.models, candidates, turn, self.prompting.intent, self.today()
        )
        match selection:
            case Clarification(rejected=rejected) if rejected:
                # Do not go on without the rejected value: its default would be used, and the user meant another one.
                return selection
            case TargetCalls(calls):
                return await self._ground(calls, turn.user_text)
            case Clarification(proposed=calls) if calls:
                # Grounding also asks for invented values, and not for those that the user gave. For a guess with all
                # values, the question stays.
                grounded = await self._ground(calls, turn.user_text)
                return selection if selection.is_guess and isinstance(grounded, TargetCalls) else grounded
        return selection

    async def _continue(self, turn: CurrentTurn, pending: Sequence[Target]) -> ToolSelection:
        """Continues a dialogue about `pending` with the user's answer."""
        if is_question(turn.latest_text) and not _means_pending(ranked := await self._rank_answer(turn), turn):
            return await self._select(turn.standalone(), ranked)
        confidence = self.prompting.intent.confidence
        filler = SlotFiller(self.models, self.prompting.grounding, pending, turn, self.today(), confidence)
        slots = await filler.fill()
        if slots.rejected:
            return Clarification(pending[0], slots.rejected)
        selection = tool_selection.validate_calls([(call.target, call.arguments) for call in slots.calls])
        if slots.has_new_values:
            return selection
        # Repeating the question would trap the user: treat the answer as a new prompt.
        ranked = await self._rank_answer(turn)
        if _means_pending(ranked, turn) and ranked[0].score >= self.prompting.intent.sure:
            return selection
        fresh = await self._select(turn.standalone(), ranked)
        is_same = isinstance(fresh, Clarification) and fresh.target.name in turn.pending_targets
        return selection if is_same else fresh

    async def _rank_answer(self, turn: CurrentTurn) -> Sequence[ScoredTarget]:
        """Returns the targets that the latest text alone is close to."""
        return self._close(await self.index.rank(turn.latest_text))

    async def _ground(self, calls: Sequence[TargetCall], text: str) -> TargetCalls | Clarification:
        """Removes the arguments that `text` does not support. A single call gets values that the model overlooked."""
        parsed = ParsedText(text, self.today())
        arguments = await asyncio.gather(*(self._supported(call, parsed) for call in calls))
        pairs = [(call.target, given) for call, given in zip(calls, arguments, strict=True)]
        if len(pairs) == 1:
            pairs = [(target, {**given, **infer_missing(target, given, parsed)}) for target, given in pairs]
        return tool_selection.validate_calls(pairs)

    async def _supported(self, call: TargetCall, text: ParsedText) -> Mapping[str, JsonValue]:
        if self.prompting.grounding is None:
            return call.arguments
        return await supported_arguments(self.models, self.prompting.grounding, call.target, call.arguments, text)


def _pending(scored: Sequence[ScoredTarget], turn: CurrentTurn) -> Sequence[ScoredTarget]:
    """Returns the targets that the last question may be about."""
    return [each for each in scored if each.target.name in turn.pending_targets]


def _means_pending(ranked: Sequence[ScoredTarget], turn: CurrentTurn) -> bool:
    """Returns True if the best target is one of the last question."""
    return bool(ranked) and ranked[0].target.name in turn.pending_targets

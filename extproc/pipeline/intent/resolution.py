"""What a turn of a conversation means: which targets, with which values, or what is still to be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from extproc.conversation.current_turn import Turn
from extproc.inference.interface import Models
from extproc.pipeline.functions import tool_selection
from extproc.pipeline.functions.dialogue_rules import given_up, is_question
from extproc.pipeline.functions.grounding import Said, grounded
from extproc.pipeline.functions.grounding.datetimes import overlooked
from extproc.pipeline.functions.slot_filling import Gathering
from extproc.pipeline.functions.tool_selection import Call, Calls, Clarification, NoCall
from extproc.pipeline.intent.splitting import wishes
from extproc.pipeline.intent.target_index import Scored, TargetIndex
from extproc.shared.filter_config import JsonValue, Prompting, Target

# More targets than this the function model is not shown: reading one more costs it a quarter of a second.
_MOST_TARGETS: Final = 4
# By how much an answer must fit another target better than the one that was asked about, to change to it, and how many
# words it needs for that: one or two are more often a value than a wish.
_CHANGE_LEAD: Final = 0.1
_CHANGE_WORDS: Final = 3


@dataclass(frozen=True, slots=True)
class IntentResolver:
    """`today`: the gateway's local date, which relative dates are relative to."""

    models: Models
    index: TargetIndex
    prompting: Prompting
    today: Callable[[], date] = date.today

    async def intend(self, turn: Turn) -> Sequence[Scored]:
        """The targets that the function model shall see, best first. Raises `RoleUnavailable`.

        Those that a question was about, while the dialogue goes on; else those that what was said last means.
        """
        if not turn.pending:
            return await self._wished(turn.meant)
        instead = given_up(turn.answer)
        if instead is not None:
            return self._close(await self.index.rank(instead)) if instead else ()
        began = given_up(turn.opening) or turn.opening
        meant, said = await asyncio.gather(self.index.rank(began), self.index.rank(turn.answer))
        # The gateway asks about what was meant: a question about something else is not its own, unless it says so.
        asked = meant if turn.claimed else self._meant(meant)
        pending = _pending(asked, turn) or _pending(await self._wished(began), turn)
        if not pending or self._changes(turn, said):
            return self._close(said)
        return pending[: self.prompting.intent.candidates]

    async def _wished(self, text: str) -> Sequence[Scored]:
        """The targets that the whole text is close to, then those that a part of it is surely about."""
        candidates = list(self._close(await self.index.rank(text)))
        if candidates:
            # Not at the same time: most prompts mean no target, and each part would cost another embedding.
            parts = await asyncio.gather(*(self.index.rank(each) for each in wishes(text)))
            for best in sorted((ranked[0] for ranked in parts), key=lambda scored: -scored.score):
                known = any(best.target == candidate.target for candidate in candidates)
                if best.score >= self.prompting.intent.sure and not known and len(candidates) < _MOST_TARGETS:
                    candidates.append(best)
        return candidates

    def _changes(self, turn: Turn, said: Sequence[Scored]) -> bool:
        """Whether the answer means another target, and clearly so."""
        if said[0].target.name in turn.pending or len(turn.answer.split()) < _CHANGE_WORDS:
            return False
        pending = max(scored.score for scored in said if scored.target.name in turn.pending)
        return said[0].score >= self.prompting.intent.sure and said[0].score - pending >= _CHANGE_LEAD

    def _meant(self, ranked: Sequence[Scored]) -> Sequence[Scored]:
        return [scored for scored in ranked if scored.score >= self.prompting.intent.threshold]

    def _close(self, ranked: Sequence[Scored]) -> Sequence[Scored]:
        intent = self.prompting.intent
        if not self._meant(ranked):
            return ()
        close = [scored for scored in ranked if scored.score >= ranked[0].score - intent.margin]
        return close[: intent.candidates]

    async def resolve(self, turn: Turn, candidates: Sequence[Scored]) -> Calls | Clarification | NoCall:
        """`candidates`: what `intend` gave. Raises `RoleUnavailable`."""
        if not turn.pending:
            return await self._begin(turn, candidates)
        instead = given_up(turn.answer)
        pending = [scored.target for scored in _pending(candidates, turn)]
        if instead is not None or not pending:
            return await self._begin(turn.alone(instead), candidates)
        return await self._go_on(turn, pending)

    async def _begin(self, turn: Turn, candidates: Sequence[Scored]) -> Calls | Clarification | NoCall:
        if not candidates:
            return NoCall()
        chosen = await tool_selection.choose(self.models, candidates, turn, self.prompting.intent, self.today())
        match chosen:
            case Clarification(refused=refused) if refused:
                # Without the value its default would count as what was meant.
                return chosen
            case Calls(calls):
                return await self._supported(calls, turn.meant)
            case Clarification(proposed=calls) if calls:
                # What the model made up is asked for too, and what was said is not. A guess stays a question.
                found = await self._supported(calls, turn.meant)
                return chosen if chosen.guess and isinstance(found, Calls) else found
        return chosen

    async def _go_on(self, turn: Turn, pending: Sequence[Target]) -> Calls | Clarification | NoCall:
        if is_question(turn.answer) and not _means(meant := await self._alone(turn), turn):
            return await self._begin(turn.alone(), meant)
        confidence = self.prompting.intent.confidence
        gathering = Gathering(self.models, self.prompting.grounding, pending, turn, self.today(), confidence)
        gathered = await gathering.gather()
        if gathered.refused:
            return Clarification(pending[0], gathered.refused)
        outcome = tool_selection.checked([(call.target, call.arguments) for call in gathered.calls])
        if gathered.news:
            return outcome
        # The same question again would hold the user: what was said stands for itself.
        meant = await self._alone(turn)
        if _means(meant, turn) and meant[0].score >= self.prompting.intent.sure:
            return outcome
        begun = await self._begin(turn.alone(), meant)
        return outcome if isinstance(begun, Clarification) and begun.target.name in turn.pending else begun

    async def _alone(self, turn: Turn) -> Sequence[Scored]:
        """The targets that the last answer means by itself."""
        return self._close(await self.index.rank(turn.answer))

    async def _supported(self, calls: Sequence[Call], text: str) -> Calls | Clarification:
        said = Said(text, self.today())
        arguments = await asyncio.gather(*(self._grounded(call, said) for call in calls))
        pairs = [(call.target, given) for call, given in zip(calls, arguments, strict=True)]
        if len(pairs) == 1:
            pairs = [(target, {**given, **overlooked(target, given, said)}) for target, given in pairs]
        return tool_selection.checked(pairs)

    async def _grounded(self, call: Call, said: Said) -> Mapping[str, JsonValue]:
        if self.prompting.grounding is None:
            return call.arguments
        return await grounded(self.models, self.prompting.grounding, call.target, call.arguments, said)


def _pending(scored: Sequence[Scored], turn: Turn) -> Sequence[Scored]:
    """Those that the last question may be about."""
    return [each for each in scored if each.target.name in turn.pending]


def _means(meant: Sequence[Scored], turn: Turn) -> bool:
    """Whether the likeliest target is one that was asked about."""
    return bool(meant) and meant[0].target.name in turn.pending

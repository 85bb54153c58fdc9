"""What a turn of a conversation means: which targets, with which values, or what is still to be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extproc.contract import Prompting
from extproc.inference.roles import Models
from extproc.pipeline import function
from extproc.pipeline.conversation import Turn
from extproc.pipeline.function import Ask, Calls, NoCall
from extproc.pipeline.intent import Scored, TargetIndex


@dataclass(frozen=True, slots=True)
class Understanding:
    models: Models
    index: TargetIndex
    prompting: Prompting

    async def intend(self, turn: Turn) -> Sequence[Scored]:
        """The targets that the function model shall see, best first. Raises `RoleUnavailable`."""
        intent = self.prompting.intent
        ranked = await self.index.rank(turn.meant)
        # While the user answers our question the words alone mean nothing: the dialogue goes on.
        if not turn.is_answer and (not ranked or ranked[0].score < intent.threshold):
            return ()
        close = [scored for scored in ranked if scored.score >= ranked[0].score - intent.margin]
        return close[: intent.candidates]

    async def resolve(self, turn: Turn, candidates: Sequence[Scored]) -> Calls | Ask | NoCall:
        """Raises `RoleUnavailable`."""
        return await function.choose(self.models, candidates, turn, self.prompting.intent)

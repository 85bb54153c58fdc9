"""The guards as a request stage. It blocks the prompt, or drops earlier turns if only those are refused."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.evaluator import GuardEvaluator
from extproc.pipeline.guard.refused_turns import drop_blocked_turns
from extproc.pipeline.request_context import RequestContext
from extproc.pipeline.request_stages import Allow, Block, Outcome, Transform


@dataclass(frozen=True, slots=True)
class GuardStage:
    """Implements `RequestStage`."""

    guards: GuardEvaluator
    errors: ErrorHandler

    async def check(self, context: RequestContext) -> Outcome:
        """Raises `GuardUnavailable` and `ContextTooLong`."""
        verdict = await self.guards.evaluate(context.chat)
        if verdict.blocked_by is None:
            return Allow(verdict.dynamic_metadata)
        if not context.is_transformed:
            shorter = await drop_blocked_turns(self.guards, context.chat, verdict)
            if shorter is not None:
                return Transform(shorter)
        return Block(await self.errors.blocked(context, verdict.blocked_by), verdict.dynamic_metadata)

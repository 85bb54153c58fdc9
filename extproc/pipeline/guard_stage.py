"""The guards as a request stage: it blocks a prompt, or leaves out earlier turns that alone are refused."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.guard.guards import Guards
from extproc.pipeline.guard.refused_turns import without_refused_turns
from extproc.pipeline.request_context import RequestContext
from extproc.pipeline.request_stages import Allow, Block, Outcome, Transform


@dataclass(frozen=True, slots=True)
class GuardStage:
    """Implements `RequestStage`."""

    guards: Guards
    errors: ErrorHandler

    async def check(self, context: RequestContext) -> Outcome:
        """Raises `GuardUnavailable` and `ContextTooLong`."""
        verdict = await self.guards.judge(context.chat)
        if verdict.blocked_by is None:
            return Allow(verdict.notes)
        if not context.is_transformed:
            shorter = await without_refused_turns(self.guards, context.chat, verdict)
            if shorter is not None:
                return Transform(shorter)
        return Block(await self.errors.blocked(context, verdict.blocked_by), verdict.notes)

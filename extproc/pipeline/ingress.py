"""The ingress listener: an end user's prompt, step by step to a decision.

parse -> [guards || intent] -> function calling -> argument check -> API calls -> LLM
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from extproc import request_stats, worker_thread
from extproc.conversation import current_turn, state
from extproc.conversation.current_turn import Turn
from extproc.conversation.state import State
from extproc.decision import Decision, Forward, HttpRequest, Reply
from extproc.endpoints import chat_completions
from extproc.endpoints.chat_completions import ChatRequest, Completion
from extproc.errors import ApiError, ApiTimeout, BadApiAnswer, ModelUnavailable
from extproc.inference.interface import RoleUnavailable
from extproc.pipeline import client_retries, response_assembly
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.functions import tool_execution
from extproc.pipeline.functions.tool_selection import Call, Calls, Clarification, NoCall
from extproc.pipeline.guard import text_extraction
from extproc.pipeline.guard.guards import Guards, Verdict
from extproc.pipeline.guard.refused_turns import without_refused_turns
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import Scored
from extproc.pipeline.request_context import RequestContext
from extproc.providers.routing import ProviderChoice, ProviderRouter
from extproc.request_stats import Stage
from extproc.shared.filter_config import JsonValue, Prompting, Target
from extproc.targets.api_client import Answer, ApiClient, where

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ingress:
    prompting: Prompting
    providers: ProviderRouter
    guards: Guards
    understanding: IntentResolver
    endpoints: ApiClient
    failures: ErrorHandler
    # For all that happens before the verdict: models, API calls and the error target.
    timeout_s: float

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`, `TimeoutError`."""
        async with asyncio.timeout(self.timeout_s):
            return await self._decide(request)

    async def _decide(self, request: HttpRequest) -> Decision:
        asked, before, turn = await worker_thread.run(request.is_large, self._parse, request)
        verdict, candidates = await self._read_prompt(asked, turn)
        if verdict.blocked_by is not None:
            shorter = await without_refused_turns(self.guards, asked.chat, verdict)
            if shorter is not None:
                asked = dataclasses.replace(asked, chat=shorter)
                turn = self._turn(shorter, before)
                verdict, candidates = await self._read_prompt(asked, turn)
        if verdict.blocked_by is not None:
            return _noted(await self.failures.blocked(asked, verdict.blocked_by), verdict.notes)
        return _noted(await self._act(asked, turn, candidates, before), verdict.notes)

    def _parse(self, request: HttpRequest) -> tuple[RequestContext, State, Turn]:
        """Raises `InvalidRequest`."""
        parsed = chat_completions.parse(request.body, is_large=request.is_large)
        before = state.load(parsed.metadata)
        asked = RequestContext(
            text_extraction.without_refused(chat_completions.as_read(parsed), self.guards.guards), request
        )
        return asked, before, self._turn(asked.chat, before)

    def _turn(self, request: ChatRequest, before: State) -> Turn:
        """What the user asks now."""
        _, end = client_retries.first_try(request, self.guards.guards)
        return current_turn.read(request.messages[:end], self.prompting.targets, before.question)

    async def _read_prompt(self, asked: RequestContext, turn: Turn) -> tuple[Verdict, Sequence[Scored]]:
        """Guards and intent at the same time; a verdict against the prompt does not wait for the intent."""
        intent = asyncio.create_task(self._candidates(turn))
        try:
            verdict = await self.guards.judge(asked.chat)
            return verdict, () if verdict.blocked_by else await intent
        finally:
            intent.cancel()

    async def _candidates(self, turn: Turn) -> Sequence[Scored]:
        """The targets that the function model shall see, best first; none where the prompt means none of them."""
        if turn.is_empty:
            return ()
        try:
            return await self.understanding.intend(turn)
        except RoleUnavailable as error:
            # Without intent the prompt takes the way of one that means no target.
            log.warning("intent is unknown", extra={"fields": {"reason": error.reason}})
            request_stats.record_degraded(Stage.INTENT)
            return ()

    async def _act(self, asked: RequestContext, turn: Turn, candidates: Sequence[Scored], before: State) -> Decision:
        if turn.is_empty:
            # Nothing to decide: what the user meant was settled before.
            return await self._to_llm(asked, self._choose(asked), self.prompting.system_prompt)
        match await self._resolve(turn, candidates):
            case Clarification() as ask:
                return _targeted(await _question(asked, ask), [ask.target.name], before)
            case Calls(calls):
                return _targeted(await self._call(asked, calls, before), [call.target.name for call in calls], before)
            case NoCall():
                return await self._no_target(asked)

    async def _resolve(self, turn: Turn, candidates: Sequence[Scored]) -> Calls | Clarification | NoCall:
        if not candidates:
            return NoCall()
        try:
            return await self.understanding.resolve(turn, candidates)
        except RoleUnavailable as error:
            log.warning("function calling failed", extra={"fields": {"role": error.role, "reason": error.reason}})
            raise ModelUnavailable(f"The model for `{error.role}` does not answer: try again later.") from error

    async def _call(self, asked: RequestContext, calls: Sequence[Call], before: State) -> Decision:
        # An answer that one target keeps from the LLM stays from it whatever else was asked in the same prompt.
        to_llm = all(call.target.auto_llm_dispatch for call in calls)
        # Chosen before any API is called: a request for an LLM that does not exist must have no effect there.
        choice = self._choose(asked) if to_llm else None
        try:
            made = await tool_execution.make(self.endpoints, asked, calls, before.targets)
        except (ApiError, ApiTimeout) as fault:
            return await self.failures.api_failed(asked, fault)
        if choice is None:
            return await response_assembly.api_answer(asked.chat, made, tool_chunks=self.prompting.stream_tool_chunks)
        prompt = self._system_prompt([call.target for call in calls])
        forward = await self._to_llm(asked, choice, prompt, response_assembly.contexts(made))
        return response_assembly.with_calls(asked.chat, forward, made, tool_chunks=self.prompting.stream_tool_chunks)

    async def _no_target(self, asked: RequestContext) -> Decision:
        """No prompt target is meant: the default target, if there is one, else the LLM."""
        target = self.prompting.default_target
        if target is None:
            return await self._to_llm(asked, self._choose(asked), self.prompting.system_prompt)
        return _targeted(await self._default(asked, target), [target.name], State())

    async def _default(self, asked: RequestContext, target: Target) -> Decision:
        choice = self._choose(asked) if target.auto_llm_dispatch else None
        try:
            answer, completion = await self._default_answer(asked, target)
        except (ApiError, ApiTimeout) as fault:
            return await self.failures.api_failed(asked, fault)
        if choice is None:
            return await response_assembly.from_outside(asked.chat, answer, code="api_answer")
        return await self._to_llm(asked, choice, self._system_prompt([target]), [completion.content])

    async def _to_llm(
        self, asked: RequestContext, choice: ProviderChoice, system_prompt: str | None, contexts: Sequence[str] = ()
    ) -> Forward:
        forward = await worker_thread.run(
            asked.chat.is_large, response_assembly.to_llm, asked.chat, choice.provider, system_prompt, contexts
        )
        return dataclasses.replace(forward, notes={**forward.notes, **choice.notes})

    async def _default_answer(self, asked: RequestContext, target: Target) -> tuple[Answer, Completion]:
        """What the default target answers, and what it says. Raises `ApiError`, `ApiTimeout`."""
        headers = tool_execution.headers([target.name], drift=False)
        answer = await self.endpoints.call(target.call, {}, asked.chat.messages, asked.origin, headers)
        completion = response_assembly.read(answer)
        if completion is None:
            raise BadApiAnswer(f"{where(target.call)} did not answer with a chat completion.")
        return answer, completion

    def _choose(self, asked: RequestContext) -> ProviderChoice:
        return self.providers.choose(asked.http, asked.chat.model)

    def _system_prompt(self, targets: Sequence[Target]) -> str | None:
        """The targets' own ones, else the one of the whole gateway."""
        own = dict.fromkeys(target.system_prompt for target in targets if target.system_prompt)
        return "\n\n".join(own) or self.prompting.system_prompt


async def _question(asked: RequestContext, ask: Clarification) -> Reply:
    """The question, with what it asks for in the state: not every client sends back whose question it was."""
    asks_for: dict[str, JsonValue] = {"target": ask.target.name, "missing": list(ask.missing)}
    metadata = state.metadata_of((), asks_for)
    completion = Completion(state.FUNCTION_MODEL, ask.question, metadata=metadata, is_refusal=asked.chat.is_structured)
    return await response_assembly.answer(asked.chat, completion, code="ask")


def _targeted(decision: Decision, targets: Sequence[str], before: State) -> Decision:
    """The decision with the word which targets it is about: Envoy tells the client of a response that we do not see."""
    drift = tool_execution.drifts(targets, before.targets)
    headers = tool_execution.headers(targets, drift=drift)
    notes = {"target": headers[0][1], **({"drift": "true"} if drift else {})}
    if isinstance(decision, Reply):
        decision = dataclasses.replace(decision, headers=(*decision.headers, *headers))
    return _noted(decision, notes)


def _noted(decision: Decision, notes: Mapping[str, str]) -> Decision:
    return dataclasses.replace(decision, notes={**decision.notes, **notes})

"""The ingress listener: an end user sends a prompt, and the gateway decides which APIs and which LLM get it.

parse -> [request stages || intent] -> function calling -> argument check -> API calls -> LLM
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from extproc import request_stats, worker_thread
from extproc.conversation import current_turn, state
from extproc.conversation.chat_request import ChatRequest
from extproc.conversation.completion import Completion
from extproc.conversation.current_turn import CurrentTurn
from extproc.conversation.state import State
from extproc.decision import Decision, Forward, HttpRequest, Reply
from extproc.endpoints.endpoint import Endpoint
from extproc.errors import ApiError, ApiTimeout, BadApiAnswer, ModelUnavailable
from extproc.inference.interface import RoleUnavailable
from extproc.pipeline import client_retries, response_assembly
from extproc.pipeline.error_handling import ErrorHandler
from extproc.pipeline.functions import tool_execution
from extproc.pipeline.functions.tool_selection import Clarification, NoTargetCall, TargetCall, TargetCalls
from extproc.pipeline.intent.resolution import IntentResolver
from extproc.pipeline.intent.target_index import ScoredTarget
from extproc.pipeline.request_context import RequestContext
from extproc.pipeline.request_stages import RequestStages, with_metadata
from extproc.providers.routing import ProviderChoice, ProviderRouter
from extproc.request_stats import Stage
from extproc.shared.filter_config import JsonValue, Prompting, Target
from extproc.targets.api_client import ApiAnswer, ApiClient, endpoint_label

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Ingress:
    """`timeout_s`: the deadline of everything before the decision: models, API calls and the error target."""

    prompting: Prompting
    providers: ProviderRouter
    stages: RequestStages
    intent_resolver: IntentResolver
    api_client: ApiClient
    errors: ErrorHandler
    timeout_s: float

    async def decide(self, request: HttpRequest, endpoint: Endpoint) -> Decision:
        """Raises `GatewayError`, `TimeoutError`."""
        async with asyncio.timeout(self.timeout_s):
            return await self._decide(request, endpoint)

    async def _decide(self, request: HttpRequest, endpoint: Endpoint) -> Decision:
        context, previous, turn = await worker_thread.run(request.is_large, self._parse, request, endpoint)
        # Guards and intent resolution read the prompt concurrently. A blocked prompt does not wait for its intent.
        intent = _IntentTask(self, turn)
        try:
            result = await self.stages.run(
                context, lambda changed: intent.restart(self._current_turn(changed.chat, previous))
            )
            decision: Decision | None = result.reply
            if decision is None:
                candidates = await intent.candidates()
                decision = await self._act(result.context, intent.turn, candidates, previous)
        finally:
            intent.cancel()
        return with_metadata(decision, result.dynamic_metadata)

    def _parse(self, request: HttpRequest, endpoint: Endpoint) -> tuple[RequestContext, State, CurrentTurn]:
        """Raises `InvalidRequest`."""
        context = self.stages.parse(request, endpoint)
        previous = state.load(context.chat.metadata)
        return context, previous, self._current_turn(context.chat, previous)

    def _current_turn(self, chat: ChatRequest, previous: State) -> CurrentTurn:
        """Returns the part of the conversation that a decision is about."""
        _, end = client_retries.first_try(chat, self.stages.guards)
        return current_turn.read(chat.messages[:end], self.prompting.targets, previous.question)

    async def candidates(self, turn: CurrentTurn) -> Sequence[ScoredTarget]:
        """Returns the targets for the function model, best first; none if the prompt matches no target."""
        if turn.is_empty:
            return ()
        try:
            return await self.intent_resolver.find_candidates(turn)
        except RoleUnavailable as error:
            # Without scores, the prompt is treated as no match.
            log.warning("intent is unknown", extra={"fields": {"reason": error.reason}})
            request_stats.record_degraded(Stage.INTENT)
            return ()

    async def _act(
        self, context: RequestContext, turn: CurrentTurn, candidates: Sequence[ScoredTarget], previous: State
    ) -> Decision:
        if turn.is_empty:
            # The user says nothing new, so there is no target to find.
            return await self._to_llm(context, self._choose_provider(context), self.prompting.system_prompt)
        match await self._select_tools(turn, candidates):
            case Clarification() as clarification:
                reply = await _ask(context, clarification)
                return _with_targets(reply, [clarification.target.name], previous)
            case TargetCalls(calls):
                decision = await self._call(context, calls, previous)
                return _with_targets(decision, [call.target.name for call in calls], previous)
            case NoTargetCall():
                return await self._no_target(context)

    async def _select_tools(
        self, turn: CurrentTurn, candidates: Sequence[ScoredTarget]
    ) -> TargetCalls | Clarification | NoTargetCall:
        if not candidates:
            return NoTargetCall()
        try:
            return await self.intent_resolver.resolve(turn, candidates)
        except RoleUnavailable as error:
            log.warning("function calling failed", extra={"fields": {"role": error.role, "reason": error.reason}})
            raise ModelUnavailable(f"The model for `{error.role}` does not answer: try again later.") from error

    async def _call(self, context: RequestContext, calls: Sequence[TargetCall], previous: State) -> Decision:
        # If the answer of one target must not go to the LLM, no answer of this prompt goes there.
        to_llm = all(call.target.auto_llm_dispatch for call in calls)
        # Chosen before any API is called: a request for an unknown LLM must not have an effect at an API.
        choice = self._choose_provider(context) if to_llm else None
        try:
            executed = await tool_execution.execute(self.api_client, context, calls, previous.targets)
        except (ApiError, ApiTimeout) as error:
            return await self.errors.api_failed(context, error)
        tool_chunks = self.prompting.stream_tool_chunks
        if choice is None:
            return await response_assembly.api_answer(context, executed, tool_chunks=tool_chunks)
        prompt = self._system_prompt([call.target for call in calls])
        forward = await self._to_llm(context, choice, prompt, response_assembly.contexts(executed))
        return response_assembly.with_tool_calls(context.chat, forward, executed, tool_chunks=tool_chunks)

    async def _no_target(self, context: RequestContext) -> Decision:
        """Returns the answer of the default target, if there is one, else the LLM's."""
        target = self.prompting.default_target
        if target is None:
            return await self._to_llm(context, self._choose_provider(context), self.prompting.system_prompt)
        return _with_targets(await self._default_target(context, target), [target.name], State())

    async def _default_target(self, context: RequestContext, target: Target) -> Decision:
        choice = self._choose_provider(context) if target.auto_llm_dispatch else None
        try:
            answer, completion = await self._call_default_target(context, target)
        except (ApiError, ApiTimeout) as error:
            return await self.errors.api_failed(context, error)
        if choice is None:
            return await response_assembly.relayed(context, answer, code="api_answer")
        return await self._to_llm(context, choice, self._system_prompt([target]), [completion.content])

    async def _call_default_target(self, context: RequestContext, target: Target) -> tuple[ApiAnswer, Completion]:
        """Returns the default target's answer, raw and as a completion. Raises `ApiError`, `ApiTimeout`."""
        headers = tool_execution.target_headers([target.name], drift=False)
        answer = await self.api_client.call(target.call, {}, context.chat.messages, context.origin, headers)
        completion = response_assembly.read_completion(answer)
        if completion is None:
            raise BadApiAnswer(f"{endpoint_label(target.call)} did not answer with a chat completion.")
        return answer, completion

    async def _to_llm(
        self, context: RequestContext, choice: ProviderChoice, system_prompt: str | None, contexts: Sequence[str] = ()
    ) -> Forward:
        chat = context.chat
        forward = await worker_thread.run(
            chat.is_large, response_assembly.to_llm, chat, choice.provider, system_prompt, contexts
        )
        return with_metadata(forward, choice.dynamic_metadata)

    def _choose_provider(self, context: RequestContext) -> ProviderChoice:
        return self.providers.choose(context.http, context.chat.model)

    def _system_prompt(self, targets: Sequence[Target]) -> str | None:
        """Returns the targets' own system prompts, else the gateway's."""
        own = dict.fromkeys(target.system_prompt for target in targets if target.system_prompt)
        return "\n\n".join(own) or self.prompting.system_prompt


class _IntentTask:
    """Finds the candidates of a turn while the request stages run. Starts again when a stage changes the request."""

    def __init__(self, ingress: Ingress, turn: CurrentTurn) -> None:
        self._ingress = ingress
        self._start(turn)

    def _start(self, turn: CurrentTurn) -> None:
        self.turn = turn
        self._task = asyncio.create_task(self._ingress.candidates(turn))

    def restart(self, turn: CurrentTurn) -> None:
        self.cancel()
        self._start(turn)

    async def candidates(self) -> Sequence[ScoredTarget]:
        return await self._task

    def cancel(self) -> None:
        self._task.cancel()


async def _ask(context: RequestContext, clarification: Clarification) -> Reply:
    """Returns the question for missing parameters.

    The state records the target and the parameters, since not every client sends back the `model` of the question.
    """
    question: dict[str, JsonValue] = {"target": clarification.target.name, "missing": list(clarification.missing)}
    completion = Completion(
        state.FUNCTION_MODEL,
        clarification.question,
        metadata=state.response_metadata((), question),
        is_refusal=context.chat.is_structured,
    )
    return await response_assembly.answer(context, completion, code="ask")


def _with_targets(decision: Decision, targets: Sequence[str], previous: State) -> Decision:
    """Returns the decision with the names of its targets.

    A reply carries them as headers. For a forward, Envoy builds the headers from the dynamic metadata.
    """
    drift = tool_execution.has_drifted(targets, previous.targets)
    headers = tool_execution.target_headers(targets, drift=drift)
    if isinstance(decision, Reply):
        decision = dataclasses.replace(decision, headers=(*decision.headers, *headers))
    return with_metadata(decision, {"target": headers[0][1], **({"drift": "true"} if drift else {})})

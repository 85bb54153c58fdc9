"""The ingress listener: an end user's prompt, step by step to a decision.

parse -> [guard || intent] -> function calling -> argument check -> API call -> LLM
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.apis import chat, state
from extproc.apis.chat import ChatRequest, Completion
from extproc.contract import Jailbreak, Prompting, Provider, Target
from extproc.decision import Decision, HttpRequest, ToolCall
from extproc.errors import ApiError, ModelUnavailable, PromptRejected
from extproc.inference.roles import Models, RoleUnavailable
from extproc.pipeline import conversation, dispatch, function
from extproc.pipeline.conversation import Turn
from extproc.pipeline.function import Ask, Call, Calls, NoCall
from extproc.pipeline.guard import Allowed, Blocked, Verdict, judge
from extproc.pipeline.intent import Scored, TargetIndex
from extproc.providers.choice import HINT, choose
from extproc.targets.http import Endpoints, Origin

log = logging.getLogger(__name__)

GUARD_MODEL: Final = "Arch-Guard"
GUARD_HEADER: Final = ("x-prompt-guard-error-code", "jailbreak")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request in both its forms."""

    chat: ChatRequest
    http: HttpRequest

    @property
    def origin(self) -> Origin:
        return Origin(self.http.request_id, self.http.traceparent)


@dataclass(frozen=True, slots=True)
class Ingress:
    prompting: Prompting
    providers: tuple[Provider, ...]
    models: Models
    targets: TargetIndex
    endpoints: Endpoints
    # For all that happens before the verdict: models and API calls.
    timeout_s: float

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`, `TimeoutError`."""
        async with asyncio.timeout(self.timeout_s):
            return await self._decide(request)

    async def _decide(self, request: HttpRequest) -> Decision:
        asked = chat.parse(request.body)
        state.load(asked.metadata)
        turn = conversation.read(asked.messages)
        verdict, candidates = await self._read_prompt(turn)
        guard = self.prompting.jailbreak
        notes = _notes(verdict) if guard else {}
        if guard and isinstance(verdict, Blocked):
            return _noted(self._blocked(asked, guard), notes)
        return _noted(await self._act(Asked(asked, request), turn, candidates), notes)

    async def _read_prompt(self, turn: Turn) -> tuple[Verdict, Sequence[Scored]]:
        """Guard and intent at the same time; a verdict against the prompt does not wait for the intent."""
        intent = asyncio.create_task(self._candidates(turn))
        try:
            guard = self.prompting.jailbreak
            verdict: Verdict = Allowed(0.0) if guard is None else await judge(self.models, guard, turn.said)
            return verdict, () if isinstance(verdict, Blocked) else await intent
        finally:
            intent.cancel()

    async def _candidates(self, turn: Turn) -> Sequence[Scored]:
        """The targets that the function model shall see, best first; none where the prompt means none of them."""
        intent = self.prompting.intent
        try:
            ranked = await self.targets.rank(turn.meant)
        except RoleUnavailable as error:
            # Without intent the prompt takes the way of one that means no target.
            log.warning("intent is unknown", extra={"fields": {"reason": error.reason}})
            return ()
        # While the user answers our question the words alone mean nothing: the dialogue goes on.
        if not turn.is_answer and (not ranked or ranked[0].score < intent.threshold):
            return ()
        close = [scored for scored in ranked if scored.score >= ranked[0].score - intent.margin]
        return close[: intent.candidates]

    @staticmethod
    def _blocked(asked: ChatRequest, guard: Jailbreak) -> Decision:
        if guard.status is not None:
            raise PromptRejected(guard.message, guard.status, GUARD_HEADER[1])
        completion = Completion(GUARD_MODEL, guard.message, finish_reason="content_filter")
        return dataclasses.replace(dispatch.answer(asked, completion, code="blocked"), headers=(GUARD_HEADER,))

    async def _act(self, asked: Asked, turn: Turn, candidates: Sequence[Scored]) -> Decision:
        match await self._choose(candidates, turn):
            case Ask() as ask:
                completion = Completion(state.FUNCTION_MODEL, ask.question)
                return _noted(dispatch.answer(asked.chat, completion, code="ask"), {"target": ask.target.name})
            case Calls() as chosen:
                call = chosen.calls[0]
                return _noted(await self._call(asked, call), {"target": call.target.name})
            case NoCall():
                return await self._no_target(asked)

    async def _choose(self, candidates: Sequence[Scored], turn: Turn) -> Calls | Ask | NoCall:
        if not candidates:
            return NoCall()
        try:
            return await function.choose(self.models, candidates, turn, self.prompting.intent)
        except RoleUnavailable as error:
            log.warning("function calling failed", extra={"fields": {"reason": error.reason}})
            raise ModelUnavailable("The function-calling model does not answer: try again later.") from error

    async def _call(self, asked: Asked, call: Call) -> Decision:
        target = call.target
        # Chosen before the API is called: a request for an LLM that does not exist must have no effect there.
        provider = self._provider(asked) if target.auto_llm_dispatch else None
        body = await self.endpoints.call(target.call, call.arguments, asked.chat.messages, asked.origin)
        done = ToolCall(
            call_id=state.new_call_id(),
            name=target.name,
            arguments=chat.encode_json(call.arguments).decode(),
            answer=body.decode(errors="replace"),
        )
        if provider is None:
            return dispatch.api_answer(asked.chat, done)
        return dispatch.with_call(dispatch.to_llm(asked.chat, provider, self._system_prompt(target), done.answer), done)

    async def _no_target(self, asked: Asked) -> Decision:
        """No prompt target is meant: the default target, if there is one, else the LLM."""
        target = self.prompting.default_target
        if target is None:
            return dispatch.to_llm(asked.chat, self._provider(asked), self.prompting.system_prompt, None)
        provider = self._provider(asked) if target.auto_llm_dispatch else None
        body = await self.endpoints.call(target.call, {}, asked.chat.messages, asked.origin)
        completion = chat.read_completion(body)
        if completion is None:
            where = f"Endpoint `{target.call.endpoint}` ({target.call.method} {target.call.path})"
            raise ApiError(f"{where} did not answer with a chat completion.", 502)
        if provider is None:
            decision: Decision = dispatch.own_answer(asked.chat, completion, body)
        else:
            decision = dispatch.to_llm(asked.chat, provider, self._system_prompt(target), completion.content)
        return _noted(decision, {"target": target.name})

    def _provider(self, asked: Asked) -> Provider:
        return choose(self.providers, hint=asked.http.headers.get(HINT), model=asked.chat.model)

    def _system_prompt(self, target: Target) -> str | None:
        return target.system_prompt or self.prompting.system_prompt


def _noted(decision: Decision, notes: Mapping[str, str]) -> Decision:
    return dataclasses.replace(decision, notes={**decision.notes, **notes})


def _notes(verdict: Verdict) -> dict[str, str]:
    match verdict:
        case Blocked():
            return {"guard": "blocked"}
        case Allowed(None):
            return {"guard": "failed_open"}
        case Allowed():
            return {"guard": "allowed"}

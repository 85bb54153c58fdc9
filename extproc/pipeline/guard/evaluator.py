"""Evaluates the input guards on a request. Used by guard_stage.py and refused_turns.py.

All guards run at the same time. Each guard's model reads every text of the request in all its decoded variants, in one
call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from extproc import request_stats, worker_thread
from extproc.conversation.chat_request import ChatRequest
from extproc.errors import ContextTooLong, GuardUnavailable
from extproc.inference import deadline
from extproc.inference.fair_queue import FairQueue, QueueFull
from extproc.inference.interface import Models, RoleUnavailable
from extproc.pipeline.guard import suspicion_score, text_extraction
from extproc.pipeline.guard.decoded_variants import VariantsTooLong
from extproc.pipeline.guard.judgement_cache import Judgement, JudgementCache, cache_key
from extproc.pipeline.guard.prepared_texts import Chunks, PreparedTexts, total_work
from extproc.pipeline.guard.text_extraction import RequestText, RequestTexts
from extproc.pipeline.guard.text_probability import text_probability
from extproc.request_stats import Stage
from extproc.shared.filter_config import FailMode, Guard, GuardMode, TextRole
from extproc.shared.roles import Role
from extproc.shared.scripts import Script

log = logging.getLogger(__name__)

# Judgements, about 6 MB a worker. The cache answers for earlier turns of a conversation and for tool definitions.
CACHE_SIZE: Final = 32_768

# Separates the cache keys of chunks from those of texts: the probability of a text covers its decoded variants, too.
_CHUNK: Final = "chunk"

# Factor on the doubt (1 - probability) about an assistant's text. A model's refusal repeats words of the attack that it
# refuses, and one false alarm would block the rest of the conversation.
_ECHO_DOUBT: Final = 5.0

# Maximum requests whose long texts wait for preparation.
_MAX_WAITING: Final = 256
_RETRY_AFTER: Final = (("retry-after", "1"),)


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """`deadline_ms`: the time limit of all guards for one request.

    The guard `jailbreak` reads a request of up to `whole_bytes` bytes of prose as a whole. Of a larger one it reads the
    most suspicious chunks: `whole_bytes`, and this `share` of the rest.
    """

    deadline_ms: int = 10_000
    whole_bytes: int = 8_192
    share: float = 0.2

    def bytes_to_read(self, size: int) -> int:
        """Returns how many of `size` bytes are read."""
        return min(size, self.whole_bytes + int(self.share * (size - self.whole_bytes)))

    def bytes_covered(self, read: float) -> float:
        """Returns the size of a request of which `read` bytes are read: the inverse of `bytes_to_read`."""
        return max(read, self.whole_bytes + (read - self.whole_bytes) / self.share)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`blocked_by`: the first guard in configuration order that blocks. `refused`: the texts that guards block.

    `dynamic_metadata`: fields of the access log. `guard`: allowed, blocked or failed_open; for guards in shadow mode,
    shadow_blocked or shadow_unavailable. `guard_by`: the names of the guards with this outcome. `guard_skipped`: the
    roles of texts that a guard did not judge. `guard_unreadable`: the scripts that a guard's model could not read.
    """

    blocked_by: Guard | None = None
    dynamic_metadata: Mapping[str, str] = field(default_factory=dict)
    refused: frozenset[RequestText] = frozenset()


@dataclass(frozen=True, slots=True)
class _GuardResult:
    """`probability` None: the model gave none, because of `reason`. `too_long`: the message if a text was too long.

    `refused`: the texts that the guard blocks. `unreadable`: the scripts that its model could not read.
    """

    guard: Guard
    probability: float | None
    reason: str = ""
    too_long: str = ""
    refused: frozenset[RequestText] = frozenset()
    unreadable: frozenset[Script] = frozenset()

    @property
    def outcome(self) -> str:
        is_shadow = self.guard.mode is GuardMode.SHADOW
        if self.probability is None:
            return "shadow_unavailable" if is_shadow else "failed_open"
        if not self.refused:
            return "allowed"
        return "shadow_blocked" if is_shadow else "blocked"


class GuardEvaluator:
    """All guards of a listener, with a cache of judgements."""

    def __init__(
        self,
        models: Models,
        guards: Sequence[Guard],
        limits: GuardLimits | None = None,
        cache_size: int = CACHE_SIZE,
    ) -> None:
        self._models = models
        self.guards: Sequence[Guard] = tuple(guards)
        self._limits = limits or GuardLimits()
        self._scorer = suspicion_score.load() if any(guard.role is Role.GUARD for guard in guards) else None
        self._queue = FairQueue(slots=1, max_waiting=_MAX_WAITING)
        self._cache = JudgementCache(cache_size)

    async def evaluate(self, request: ChatRequest) -> Verdict:
        """Returns the verdict of all guards.

        Raises `GuardUnavailable` or `ContextTooLong` if a guard has no result and its `on_error` is to block.
        """
        if not self.guards:
            return Verdict()
        extracted = await worker_thread.run(request.is_large, text_extraction.extract, request)
        keys = {text: cache_key(text) for text in extracted.texts}
        prepared = PreparedTexts(self._queue, self._max_work())
        with deadline.limit(self._limits.deadline_ms):
            results = await asyncio.gather(
                *(self._evaluate(guard, keys, prepared, extracted.echoes) for guard in self.guards)
            )
        verdict = _combine(results, self._skipped_roles(extracted))
        if verdict.dynamic_metadata["guard"] == "failed_open":
            request_stats.record_degraded(Stage.GUARD)
        return verdict

    async def _evaluate(
        self, guard: Guard, keys: Mapping[RequestText, bytes], prepared: PreparedTexts, echoes: frozenset[RequestText]
    ) -> _GuardResult:
        in_scope = {text: key for text, key in keys.items() if text.role in guard.scope}
        try:
            judgements = await self._judge(guard, in_scope, prepared)
        except RoleUnavailable as error:
            return _without_probability(guard, error.reason)
        except QueueFull:
            return _without_probability(guard, "overloaded")
        except VariantsTooLong:
            return _too_long(guard, self._readable_bytes(guard.role))
        weighed = {
            text: _discounted(each.probability) if text in echoes else each.probability
            for text, each in judgements.items()
        }
        refused = {text for text, probability in weighed.items() if probability >= guard.threshold}
        if guard.on_unreadable is FailMode.BLOCK:
            # A model's answer in another language must not block the rest of the conversation.
            refused |= {text for text, each in judgements.items() if each.unreadable and text not in echoes}
        unreadable = frozenset[Script]().union(*(each.unreadable for each in judgements.values()))
        return _GuardResult(
            guard, max(weighed.values(), default=0.0), refused=frozenset(refused), unreadable=unreadable
        )

    async def _judge(
        self, guard: Guard, keys: Mapping[RequestText, bytes], prepared: PreparedTexts
    ) -> Mapping[RequestText, Judgement]:
        """Returns the judgement on each text. On an error, nothing is cached.

        Raises `RoleUnavailable`, `VariantsTooLong` and `QueueFull`.
        """
        role = guard.role
        cached = {text: self._cache.get((role, key)) for text, key in keys.items()}
        judgements = {text: judgement for text, judgement in cached.items() if judgement is not None}
        new = [text for text in keys if text not in judgements]
        if not new:
            return judgements
        of_text = await self._select_chunks(role, new, prepared)
        by_chunk = await self._chunk_probabilities(guard, of_text)
        readable = self._models.readable_scripts(role)
        for text, chunks in of_text.items():
            of_chunks = (by_chunk[RequestText(text.role, chunk)] for chunk in chunks.texts)
            probability = text_probability(of_chunks, chunks.count)
            judgements[text] = Judgement(probability, chunks.unreadable_scripts(readable))
            if chunks.is_complete:
                # A text that was read in part is not cached: its unread rest would count as harmless from then on.
                self._cache.put((role, keys[text]), judgements[text])
        return judgements

    async def _chunk_probabilities(
        self, guard: Guard, of_text: Mapping[RequestText, Chunks]
    ) -> Mapping[RequestText, float]:
        """Returns the attack probability of each chunk. The chunks of texts that are read in part are cached."""
        every = dict.fromkeys(
            RequestText(text.role, chunk) for text, chunks in of_text.items() for chunk in chunks.texts
        )
        partial = {
            RequestText(text.role, chunk)
            for text, chunks in of_text.items()
            if not chunks.is_complete
            for chunk in chunks.texts
        }
        role = guard.role
        keys = {chunk: cache_key(chunk, _CHUNK) for chunk in partial}
        cached = {chunk: self._cache.get((role, key)) for chunk, key in keys.items()}
        by_chunk = {chunk: judgement.probability for chunk, judgement in cached.items() if judgement is not None}
        new = [chunk for chunk in every if chunk not in by_chunk]
        if new:
            texts = [chunk.text for chunk in new]
            text_roles = [TextRole.USER if chunk.role in guard.read_as_user else chunk.role for chunk in new]
            by_chunk.update(zip(new, await self._models.attack_probabilities(role, texts, text_roles), strict=True))
        for chunk, key in keys.items():
            self._cache.put((role, key), Judgement(by_chunk[chunk]))
        return by_chunk

    async def _select_chunks(
        self, role: Role, texts: Sequence[RequestText], prepared: PreparedTexts
    ) -> Mapping[RequestText, Chunks]:
        """Returns the chunks that the model of `role` reads: all, or the most suspicious ones of a long request.

        Raises `VariantsTooLong` if reading them would take too long, and `QueueFull`.
        """
        chunks = await prepared.all_chunks([text.text for text in texts])
        of_text = {text: chunks[text.text] for text in texts}
        size, limit = total_work(of_text), self._readable_bytes(role)
        if limit is not None and size > limit:
            raise VariantsTooLong
        if self._scorer is not None and role is Role.GUARD and size > self._limits.whole_bytes:
            chosen = await prepared.most_suspicious(chunks, self._limits.bytes_to_read(size), self._scorer)
            return {text: chosen[text.text] for text in texts}
        return of_text

    def _skipped_roles(self, extracted: RequestTexts) -> Sequence[TextRole]:
        """Returns the roles with texts that a guard does not judge."""
        found = {text.role for text in extracted.texts}
        return [role for role in TextRole if role in found and any(role not in each.scope for each in self.guards)]

    def _readable_bytes(self, role: Role) -> float | None:
        """Returns the size of a request that can be evaluated in time; None if the model's speed is unknown."""
        readable = self._models.readable_bytes(role)
        return self._limits.bytes_covered(readable) if role is Role.GUARD and readable is not None else readable

    def _max_work(self) -> float | None:
        """Returns the largest `_readable_bytes` of all guards; None if one of them is unknown."""
        readable = [self._readable_bytes(guard.role) for guard in self.guards]
        return None if None in readable else max(each for each in readable if each is not None)


def _without_probability(guard: Guard, reason: str, too_long: str = "", **fields: object) -> _GuardResult:
    details = {"guard": guard.name, "on_error": guard.on_error, "mode": guard.mode, "reason": reason, **fields}
    log.warning("guard unavailable", extra={"fields": details})
    return _GuardResult(guard, None, reason, too_long)


def _too_long(guard: Guard, readable: float | None) -> _GuardResult:
    limit = "" if readable is None else f" The limit is about {max(1, int(readable) // 1000)},000 characters."
    message = f"The text of this request is too long to be checked in time.{limit} Shorten it, or send it in parts."
    return _without_probability(guard, "too_long", message, readable_bytes=readable and int(readable))


def _discounted(probability: float) -> float:
    """Returns the probability with its doubt multiplied by _ECHO_DOUBT."""
    return max(0.0, 1 - (1 - probability) * _ECHO_DOUBT)


def _combine(results: Sequence[_GuardResult], skipped: Sequence[TextRole]) -> Verdict:
    """Combines the results of all guards into one verdict. Raises `GuardUnavailable` and `ContextTooLong`."""
    for result in results:
        if result.outcome == "shadow_blocked":
            fields = {"guard": result.guard.name, "probability": round(result.probability or 0.0, 3)}
            log.warning("shadow guard would block", extra={"fields": fields})
    blocking = [result for result in results if result.outcome == "blocked"]
    for result in () if blocking else results:
        if result.outcome == "failed_open" and result.guard.on_error is FailMode.BLOCK:
            raise _unavailable(result)
    outcome, guards = _outcome(results)
    unreadable = frozenset[Script]().union(*(result.unreadable for result in results))
    lists = {
        "guard_by": [each.name for each in guards],
        "guard_skipped": skipped,
        "guard_unreadable": sorted(unreadable),
    }
    metadata = {"guard": outcome} | {name: ",".join(values) for name, values in lists.items() if values}
    refused = frozenset[RequestText]().union(*(result.refused for result in blocking))
    return Verdict(guards[0] if outcome == "blocked" else None, metadata, refused)


def _outcome(results: Sequence[_GuardResult]) -> tuple[str, Sequence[Guard]]:
    """Returns the gravest outcome, and the guards with it; no guards if all allow the request."""
    for outcome in ("blocked", "failed_open", "shadow_blocked", "shadow_unavailable"):
        guards = [result.guard for result in results if result.outcome == outcome]
        if guards:
            return outcome, guards
    return "allowed", ()


def _unavailable(result: _GuardResult) -> GuardUnavailable | ContextTooLong:
    if result.too_long:
        return ContextTooLong(result.too_long)
    if result.reason in {"timeout", "budget", "overloaded"}:
        return GuardUnavailable("The prompt could not be checked in time: try again later.", headers=_RETRY_AFTER)
    return GuardUnavailable("The guard model does not answer: try again later.")

"""The input guards: may this request go on? Used by ingress.py and egress.py.

Every guard reads every text of the request, in all its readings, at the same time and with one call of its model.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from extproc import request_stats, worker_thread
from extproc.endpoints.chat_completions import ChatRequest
from extproc.errors import ContextTooLong, GuardUnavailable
from extproc.inference import deadline
from extproc.inference.fair_queue import FairQueue, QueueFull
from extproc.inference.interface import Models, RoleUnavailable
from extproc.pipeline.guard import suspicion_score, text_extraction
from extproc.pipeline.guard.decoded_variants import TooLong
from extproc.pipeline.guard.prepared_texts import Pieces, Reading, size
from extproc.request_stats import Stage
from extproc.shared.filter_config import FailMode, Guard, GuardMode, Role

log = logging.getLogger(__name__)

# About 6 MB a worker: an earlier turn of a conversation, or a tool of an application, is not read again.
REMEMBERED: Final = 32_768

# A piece is judged as it stands, a text with all that hides in it: the same letters have two verdicts.
_PIECE: Final = b"piece"

# How much surer a guard must be of what an assistant said. A model's refusal speaks of the attack that it refuses, and
# a long conversation is full of a model's words: one of them taken for an attack would block it for good.
_ECHO_DOUBT: Final = 20.0


# Requests whose long texts wait to be made readable.
_MOST_WAITING: Final = 256
_LATER: Final = (("retry-after", "1"),)


@dataclass(frozen=True, slots=True)
class Limits:
    """`reading_ms`: how long the guards may read one request. Of a request with more than `whole_bytes` of text, the
    guard `jailbreak` reads as many of its most suspicious bytes, and this `share` of the rest.
    """

    reading_ms: int = 10_000
    whole_bytes: int = 8_192
    share: float = 0.2

    def read_of(self, size: int) -> int:
        """Bytes that are read of so many."""
        return min(size, self.whole_bytes + int(self.share * (size - self.whole_bytes)))

    def judged_with(self, read: float) -> float:
        """Bytes that are judged by reading so many: the inverse."""
        return max(read, self.whole_bytes + (read - self.whole_bytes) / self.share)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`blocked_by` is the first guard, in the order of the configuration, that refuses the request.

    `notes` are fields of the access log: `guard` (allowed, blocked, failed_open, and behind a guard in shadow mode
    what it would have done: shadow_blocked, shadow_unavailable) and `guard_by`, the guards that say so.
    """

    blocked_by: Guard | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    # The texts that the refusing guards refuse.
    refused: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Finding:
    """What one guard says. `probability` None: its model gave none, for `reason`; `too_long` says what of it."""

    guard: Guard
    probability: float | None
    reason: str = ""
    too_long: str = ""
    refused: frozenset[str] = frozenset()

    @property
    def against(self) -> bool:
        return self.probability is not None and self.probability >= self.guard.threshold

    @property
    def outcome(self) -> str:
        if self.guard.mode is GuardMode.SHADOW:
            return (
                "shadow_blocked"
                if self.against
                else "allowed"
                if self.probability is not None
                else "shadow_unavailable"
            )
        return "blocked" if self.against else "allowed" if self.probability is not None else "failed_open"


class Guards:
    """All guards of a gateway, with what they have read before. `limits` None: no model is asked."""

    def __init__(
        self, models: Models, guards: Sequence[Guard], limits: Limits | None = None, remembered: int = REMEMBERED
    ) -> None:
        self._models = models
        self.guards: Sequence[Guard] = tuple(guards)
        self._limits = limits or Limits()
        self._scan = suspicion_score.load() if any(guard.role is Role.GUARD for guard in guards) else None
        self._turns = FairQueue(slots=1, max_waiting=_MOST_WAITING)
        self._known = _Probabilities(remembered)

    async def judge(self, request: ChatRequest) -> Verdict:
        """Raises `GuardUnavailable` and `ContextTooLong` where a guard gives no verdict and must block then."""
        if not self.guards:
            return Verdict()
        screened = await worker_thread.run(request.is_large, text_extraction.screen, request)
        keys = {text: _key(text) for text in screened.texts}
        reading = Reading(self._turns, self._most())
        with deadline.limit(self._limits.reading_ms):
            findings = await asyncio.gather(
                *(self._find(guard, keys, reading, screened.echoes) for guard in self.guards)
            )
        verdict = _verdict(findings)
        if verdict.notes["guard"] == "failed_open":
            request_stats.record_degraded(Stage.GUARD)
        return verdict

    async def _find(
        self, guard: Guard, keys: Mapping[str, bytes], reading: Reading, echoes: frozenset[str]
    ) -> _Finding:
        fields: dict[str, object] = {"guard": guard.name, "on_error": guard.on_error, "mode": guard.mode}
        try:
            probabilities = await self._probabilities(guard.role, keys, reading)
        except RoleUnavailable as error:
            log.warning("guard gave no verdict", extra={"fields": fields | {"reason": error.reason}})
            return _Finding(guard, None, error.reason)
        except QueueFull:
            log.warning("guard gave no verdict", extra={"fields": fields | {"reason": "overloaded"}})
            return _Finding(guard, None, "overloaded")
        except TooLong:
            most = self._readable(guard.role)
            fields |= {"reason": "too_long", "readable_bytes": most and int(most)}
            log.warning("guard gave no verdict", extra={"fields": fields})
            return _Finding(guard, None, "too_long", _shorten(most))
        weighed = {text: _doubted(each) if text in echoes else each for text, each in probabilities.items()}
        refused = frozenset(text for text, each in weighed.items() if each >= guard.threshold)
        return _Finding(guard, max(weighed.values(), default=0.0), refused=refused)

    async def _probabilities(self, role: Role, keys: Mapping[str, bytes], reading: Reading) -> Mapping[str, float]:
        """Of each text. Raises `RoleUnavailable` and `TooLong`; then nothing is remembered."""
        found = {text: self._known.get((role, key)) for text, key in keys.items()}
        known = {text: probability for text, probability in found.items() if probability is not None}
        fresh = [text for text in keys if text not in known]
        if not fresh:
            return known
        of_text = await self._pieces(role, fresh, reading)
        judged = await self._judged(role, of_text.values())
        for text, found_ in of_text.items():
            probability = max((judged[piece] for piece in found_.texts), default=0.0)
            if found_.is_whole:
                # Of a text that was read in part, the unread rest would pass for harmless ever after.
                self._known.put((role, keys[text]), probability)
            known[text] = probability
        return known

    async def _judged(self, role: Role, of_texts: Collection[Pieces]) -> Mapping[str, float]:
        """Of each piece. Those of a text that is read in part are remembered, since the text itself is not."""
        partial = {piece: _key(piece, _PIECE) for each in of_texts if not each.is_whole for piece in each.texts}
        found = {piece: self._known.get((role, key)) for piece, key in partial.items()}
        judged = {piece: probability for piece, probability in found.items() if probability is not None}
        every = tuple(dict.fromkeys(piece for each in of_texts for piece in each.texts if piece not in judged))
        answers = await self._models.attack_probabilities(role, every) if every else ()
        judged.update(zip(every, answers, strict=True))
        for piece, key in partial.items():
            self._known.put((role, key), judged[piece])
        return judged

    async def _pieces(self, role: Role, texts: Sequence[str], reading: Reading) -> Mapping[str, Pieces]:
        """What the model of `role` reads of the texts: all of it, or the most suspicious part of a long request.

        Raises `TooLong` where that takes too long, and `QueueFull`.
        """
        whole = await reading.whole(texts)
        found, limit = size(whole), self._readable(role)
        if limit is not None and found > limit:
            raise TooLong
        if self._scan is None or role is not Role.GUARD or found <= self._limits.whole_bytes:
            return whole
        return await reading.suspicious(whole, self._limits.read_of(found), self._scan)

    def _readable(self, role: Role) -> float | None:
        """Bytes of text of one request that can be judged in time; None where that is not known."""
        most = self._models.readable_bytes(role)
        return self._limits.judged_with(most) if role is Role.GUARD and most is not None else most

    def _most(self) -> float | None:
        """The same, for the guard that reads most."""
        found = [self._readable(guard.role) for guard in self.guards]
        return None if None in found else max(each for each in found if each is not None)


def _shorten(most: float | None) -> str:
    limit = "" if most is None else f" Up to about {max(1, int(most) // 1000)},000 characters can be."
    return f"The text of this request is too long to be checked in time.{limit} Shorten it, or send it in parts."


def _doubted(probability: float) -> float:
    """Reaches a threshold only where what is left of doubt is so many times smaller."""
    return max(0.0, 1 - (1 - probability) * _ECHO_DOUBT)


def _verdict(findings: Sequence[_Finding]) -> Verdict:
    """Raises `GuardUnavailable` and `ContextTooLong`."""
    for finding in findings:
        if finding.outcome == "shadow_blocked":
            fields = {"guard": finding.guard.name, "probability": round(finding.probability or 0.0, 3)}
            log.warning("guard in shadow mode would have blocked", extra={"fields": fields})
    blocking = [finding for finding in findings if finding.outcome == "blocked"]
    for finding in () if blocking else findings:
        if finding.outcome == "failed_open" and finding.guard.on_error is FailMode.BLOCK:
            raise _unavailable(finding)
    for outcome in ("blocked", "failed_open", "shadow_blocked", "shadow_unavailable"):
        by = [finding.guard for finding in findings if finding.outcome == outcome]
        if by:
            names = ",".join(guard.name for guard in by)
            refused = frozenset[str]().union(*(finding.refused for finding in blocking))
            return Verdict(by[0] if outcome == "blocked" else None, {"guard": outcome, "guard_by": names}, refused)
    return Verdict(None, {"guard": "allowed"})


def _unavailable(finding: _Finding) -> GuardUnavailable | ContextTooLong:
    if finding.too_long:
        return ContextTooLong(finding.too_long)
    if finding.reason in {"timeout", "budget", "overloaded"}:
        return GuardUnavailable("The prompt could not be checked in time: try again later.", headers=_LATER)
    return GuardUnavailable("The guard model does not answer: try again later.")


def _key(text: str, kind: bytes = b"") -> bytes:
    # A strong hash: an attack must not pass for a text that was harmless.
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16, person=kind).digest()


class _Probabilities:
    """The last so many verdicts of models, by role and text or piece; the longest unused go first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_text: OrderedDict[tuple[Role, bytes], float] = OrderedDict()

    def get(self, key: tuple[Role, bytes]) -> float | None:
        probability = self._by_text.get(key)
        if probability is not None:
            self._by_text.move_to_end(key)
        return probability

    def put(self, key: tuple[Role, bytes], probability: float) -> None:
        self._by_text[key] = probability
        self._by_text.move_to_end(key)
        while len(self._by_text) > self._most:
            self._by_text.popitem(last=False)

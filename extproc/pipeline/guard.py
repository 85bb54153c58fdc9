"""The input guards: may this request go on? Used by ingress.py and egress.py.

Every guard reads every text of the request, in all its readings, at the same time and with one call of its model.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from extproc import costs, worker_thread
from extproc.apis.chat import ChatRequest
from extproc.contract import FailMode, Guard, GuardMode, Role
from extproc.costs import Stage
from extproc.errors import GuardUnavailable
from extproc.inference.roles import Models, RoleUnavailable
from extproc.pipeline import screening
from extproc.pipeline.readings import readings

log = logging.getLogger(__name__)

# About 6 MB a worker: an earlier turn of a conversation, or a tool of an application, is not read again.
REMEMBERED: Final = 32_768

# No CPU reads more within any deadline, and finding what is encoded in it would cost the worker seconds.
_MOST_UNREAD: Final = 2 << 20

# How much surer a guard must be of what an assistant said. A model's refusal speaks of the attack that it refuses, and
# a long conversation is full of a model's words: one of them taken for an attack would block it for good.
_ECHO_DOUBT: Final = 20.0

# Reading a longer text takes more than a few milliseconds, in which the worker should serve others.
_LONG_TEXT: Final = 16_384


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
    """What one guard says. `probability` None: its model gave none, for `reason`."""

    guard: Guard
    probability: float | None
    reason: str = ""
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
    """All guards of a gateway, with what they have read before."""

    def __init__(self, models: Models, guards: Sequence[Guard], remembered: int = REMEMBERED) -> None:
        self._models = models
        self.guards = tuple(guards)
        self._known = _Probabilities(remembered)

    async def judge(self, request: ChatRequest) -> Verdict:
        """Raises `GuardUnavailable` where a guard gives no verdict and must block then."""
        if not self.guards:
            return Verdict()
        screened = await worker_thread.run(request.is_large, screening.screen, request)
        read = {text: _key(text) for text in screened.texts}
        unread = _Readings(read)
        findings = await asyncio.gather(*(self._find(guard, read, unread, screened.echoes) for guard in self.guards))
        verdict = _verdict(findings)
        if verdict.notes["guard"] == "failed_open":
            costs.degraded(Stage.GUARD)
        return verdict

    async def _find(
        self, guard: Guard, read: Mapping[str, bytes], unread: _Readings, echoes: frozenset[str]
    ) -> _Finding:
        try:
            probabilities = await self._probabilities(guard.role, read, unread)
        except RoleUnavailable as error:
            fields = {"guard": guard.name, "reason": error.reason, "on_error": guard.on_error, "mode": guard.mode}
            log.warning("guard gave no verdict", extra={"fields": fields})
            return _Finding(guard, None, error.reason)
        weighed = {text: _doubted(each) if text in echoes else each for text, each in probabilities.items()}
        refused = frozenset(text for text, each in weighed.items() if each >= guard.threshold)
        return _Finding(guard, max(weighed.values(), default=0.0), refused=refused)

    async def _probabilities(self, role: Role, read: Mapping[str, bytes], unread: _Readings) -> Mapping[str, float]:
        """Of each text. Raises `RoleUnavailable`; then nothing is remembered."""
        found = {text: self._known.get((role, key)) for text, key in read.items()}
        known = {text: probability for text, probability in found.items() if probability is not None}
        fresh = [text for text in read if text not in known]
        if not fresh:
            return known
        if sum(map(len, fresh)) > _MOST_UNREAD:
            raise RoleUnavailable(role, "too_long", "more text than can be read in time")
        of_text = {text: await unread.of(text) for text in fresh}
        every = tuple(dict.fromkeys(reading for found in of_text.values() for reading in found if reading))
        answers = await self._models.attack_probabilities(role, every) if every else ()
        judged = dict(zip(every, answers, strict=True))
        for text, of_one in of_text.items():
            probability = max((judged[reading] for reading in of_one if reading), default=0.0)
            self._known.put((role, read[text]), probability)
            known[text] = probability
        return known


def _doubted(probability: float) -> float:
    """Reaches a threshold only where what is left of doubt is so many times smaller."""
    return max(0.0, 1 - (1 - probability) * _ECHO_DOUBT)


def _verdict(findings: Sequence[_Finding]) -> Verdict:
    """Raises `GuardUnavailable`."""
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


def _unavailable(finding: _Finding) -> GuardUnavailable:
    if finding.reason in {"timeout", "budget", "too_long"}:
        return GuardUnavailable("The prompt could not be checked in time: shorten it, or try again later.")
    return GuardUnavailable("The guard model does not answer: try again later.")


def _key(text: str) -> bytes:
    # A strong hash: an attack must not pass for a text that was harmless.
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).digest()


class _Readings:
    """The readings of one request's texts, made once for all guards and only of what a guard has not read before."""

    def __init__(self, read: Mapping[str, bytes]) -> None:
        self._read = read
        self._made: dict[str, asyncio.Task[tuple[str, ...]]] = {}

    async def of(self, text: str) -> tuple[str, ...]:
        if text not in self._made:
            self._made[text] = asyncio.create_task(_read(text))
        return await self._made[text]


async def _read(text: str) -> tuple[str, ...]:
    return readings(text) if len(text) < _LONG_TEXT else await asyncio.to_thread(readings, text)


class _Probabilities:
    """The last so many verdicts of models, by role and text; the longest unused go first."""

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

"""A role's model at each of its places, and which of them answers: the first that can.

A place that fails is passed over until its watch (health.py) finds it well again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, TypeVar

from extproc import costs
from extproc.contract import Place, Placement, Role, Served
from extproc.costs import ModelCall
from extproc.inference import budget, signature
from extproc.inference.breaker import Breaker
from extproc.inference.faults import CallFailed, Fault, Reason
from extproc.inference.links import Link
from extproc.inference.roles import RoleUnavailable
from extproc.inference.transport import Description, Question
from extproc.status import PlacementStatus, RoleStatus

log = logging.getLogger(__name__)

_REMEMBERED: Final = 256
_STATISTICS_S: Final = 0.5
# Of its timeout. The gateway's own work takes from a request's budget too, so the last attempt never has all of it.
_NEARLY_ALL: Final = 0.9

# Calls that one question makes at the same time: one of thousands of texts shall leave room for others.
_MOST_AT_ONCE: Final = 8

_NO_TIME: Final = Fault(Reason.BUDGET, "no time is left of what the request's models may take")

T = TypeVar("T")

# What one output tensor says of so many texts. Raises `CallFailed` where it is not of the role's form.
Read = Callable[[int, bytes], T]


class PlacedModel:
    """A role's model at one place. `stands_in`: whether another place answers where this one does not."""

    def __init__(self, role: Role, placement: Placement, link: Link, timeout_s: float, *, stands_in: bool) -> None:
        self.role = role
        self.model = placement.model
        self.timeout_s = timeout_s
        self.link = link
        self.breaker = Breaker(stands_in=stands_in)
        # Set once nobody need wait for the first contact any more.
        self.contacted = asyncio.Event()
        # Set where the watch shall look at once.
        self.alarm = asyncio.Event()
        self._most = self._contract_most = placement.max_batch
        self._output = signature.SIGNATURES[role].output.name
        self._timed = False
        self._calls = 0
        self._recent_ms: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def place(self) -> Place:
        return self.link.place

    def learn(self, found: Description) -> None:
        """Take over what the server says of the model. Raises `CallFailed` where it is not the role's."""
        wrong = signature.mismatch(self.role, found)
        if wrong is not None:
            raise CallFailed(Reason.MISMATCH, f"model {self.model}: {wrong}")
        most = signature.most_texts(found)
        self._most = self._contract_most if most is None else min(most, self._contract_most)
        self._timed = signature.is_timed(found)

    async def infer(self, columns: Mapping[str, Sequence[str]], read: Read[T], timeout_s: float) -> list[T]:
        """What `read` makes of equally long columns of texts, in as few calls as the model takes, several at once.

        Raises `CallFailed`.
        """
        encoded = {name: [text.encode(errors="replace") for text in column] for name, column in columns.items()}
        count = len(next(iter(encoded.values())))
        if count <= self._most:
            return [await self._infer(encoded, read, timeout_s)]
        parts = [
            {name: column[start : start + self._most] for name, column in encoded.items()}
            for start in range(0, count, self._most)
        ]
        ends = time.perf_counter() + timeout_s
        turns = asyncio.Semaphore(_MOST_AT_ONCE)

        async def in_turn(part: Mapping[str, Sequence[bytes]]) -> T:
            async with turns:
                left_s = ends - time.perf_counter()
                if left_s <= 0:
                    raise CallFailed(Reason.TIMEOUT, f"no answer for {count} texts within {timeout_s * 1000:.0f} ms")
                return await self._infer(part, read, left_s)

        try:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(in_turn(part)) for part in parts]
        except* CallFailed as failed:
            raise failed.exceptions[0] from None
        return [call.result() for call in calls]

    async def _infer(self, columns: Mapping[str, Sequence[bytes]], read: Read[T], timeout_s: float) -> T:
        """One call, counted to the request that it is made for."""
        began = time.perf_counter()
        compute_ms: float | None = None
        # A request that ends before its answer has come, blocked or too late, was not served by it.
        reason = "cancelled"
        try:
            question = Question(self.model, columns, self._output, self._timed)
            answer = await self.link.transport.infer(question, timeout_s)
            found = read(len(next(iter(columns.values()))), answer.raw)
            compute_ms, reason = answer.compute_ms, ""
        except CallFailed as failed:
            reason = failed.fault.reason
            raise
        else:
            return found
        finally:
            spent = costs.current()
            if spent is not None:
                ended = time.perf_counter()
                network_ms = self.link.network_ms
                spent.models.append(ModelCall(self.role, self.place, began, ended, compute_ms, network_ms, reason))

    def answered(self, took_s: float) -> None:
        self._calls += 1
        self._recent_ms.append(took_s * 1000)
        self.breaker.answered()

    def failed(self, fault: Fault) -> None:
        if self.breaker.failed(fault):
            self._tell()
            self.alarm.set()

    def probed(self, fault: Fault | None) -> None:
        """What the watch found."""
        if self.breaker.probed(fault):
            self._tell()
        self.contacted.set()

    def _tell(self) -> None:
        fields = {"role": self.role, "place": self.place, "model": self.model}
        fault = self.breaker.fault
        if fault is None:
            log.info("model answers", extra={"fields": fields})
        else:
            told = {**fields, "reason": fault.reason, "detail": fault.detail}
            log.warning("model does not answer", extra={"fields": told})

    async def status(self) -> PlacementStatus:
        fault = self.breaker.fault
        try:
            found = await self.link.transport.statistics(self.model, _STATISTICS_S)
        except CallFailed:
            # Whether the model answers is known without them.
            found = None
        return PlacementStatus(
            place=self.place,
            model=self.model,
            ready=fault is None,
            reason=fault.reason if fault else "",
            detail=fault.detail if fault else "",
            calls=self._calls,
            recent_ms=tuple(self._recent_ms),
            queue_ms=found.queue_ms if found else None,
            compute_ms=found.compute_ms if found else None,
        )


class PlacedRole:
    """A role with its places, the preferred one first."""

    def __init__(self, role: Role, served: Served, links: Mapping[Place, Link]) -> None:
        self.role = role
        self._timeout_s = served.timeout_ms / 1000
        last = len(served.placements) - 1
        self.placed = tuple(
            PlacedModel(role, placement, links[placement.place], self._timeout_s, stands_in=index < last)
            for index, placement in enumerate(served.placements)
        )
        self._skipped: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    @property
    def fault(self) -> Fault | None:
        """Why no place answers; None where one does."""
        faults = [each.breaker.fault for each in self.placed]
        return None if None in faults else faults[-1]

    async def ask(
        self, work: Callable[[PlacedModel, float], Awaitable[T]], places: Collection[str] | None = None
    ) -> tuple[Place, T]:
        """What the first of `places` answers that can. `work` asks one within so many seconds, or raises `CallFailed`.

        Raises `RoleUnavailable`.
        """
        fault = Fault(Reason.UNREACHABLE, "it has no such place")
        passed: PlacedModel | None = None
        for at in self.placed:
            if places is not None and at.place not in places:
                continue
            if passed is not None:
                _count(self._skipped, f"{passed.place}:{fault.reason}")
            if (wait_s := self._time_s()) <= 0:
                fault = _NO_TIME
                break
            passed = at
            closed = await _why_not(at, wait_s)
            if closed is not None:
                fault = closed
                _count_passed(at, fault)
                continue
            # The first contact may have taken some of it.
            if (timeout_s := self._time_s()) <= 0:
                fault = _NO_TIME
                break
            began = time.perf_counter()
            try:
                answer = await work(at, timeout_s)
            except CallFailed as failed:
                fault = failed.fault
                if fault.reason is Reason.TIMEOUT and timeout_s < _NEARLY_ALL * self._timeout_s:
                    # It had less time than it may take: that is no fault of its own.
                    fault = Fault(Reason.BUDGET, f"no answer within the {timeout_s * 1000:.0f} ms that were left")
                elif not failed.of_question:
                    at.failed(fault)
            else:
                at.answered(time.perf_counter() - began)
                return at.place, answer
        _count(self._failed, fault.reason)
        raise RoleUnavailable(self.role, fault.reason, fault.detail)

    def _time_s(self) -> float:
        """What an attempt may take now; not above zero where the request's budget is spent."""
        left_s = budget.left_s()
        return self._timeout_s if left_s is None else min(self._timeout_s, left_s)

    async def status(self) -> RoleStatus:
        placements = await asyncio.gather(*(each.status() for each in self.placed))
        return RoleStatus(placements=tuple(placements), skipped=dict(self._skipped), failed=dict(self._failed))


async def _why_not(at: PlacedModel, timeout_s: float) -> Fault | None:
    """Why a place is passed over. Of a worker that has just begun, calls wait for its first contact."""
    if at.breaker.fault is not None and not at.contacted.is_set():
        try:
            async with asyncio.timeout(timeout_s):
                await at.contacted.wait()
        except TimeoutError:
            # The next request need not learn the same.
            at.contacted.set()
    return at.breaker.fault


def _count(counts: Counter[str], what: str) -> None:
    """What befell a request; work that belongs to none tries again by itself."""
    if costs.current() is not None:
        counts[what] += 1


def _count_passed(at: PlacedModel, fault: Fault) -> None:
    """A place that was not asked cost nothing, and the request's costs say why."""
    spent = costs.current()
    if spent is not None:
        now = time.perf_counter()
        spent.models.append(ModelCall(at.role, at.place, now, now, reason=fault.reason))

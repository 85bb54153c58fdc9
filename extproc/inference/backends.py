"""A role's model at each of its places, and which of them answers: the first that can.

A place that fails is passed over until its watch (health.py) finds it well again.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from extproc import client_context as callers
from extproc import request_stats
from extproc.inference import deadline, model_signature
from extproc.inference.call_failures import CallFailed, Fault, Reason
from extproc.inference.circuit_breaker import Breaker
from extproc.inference.connections import Link
from extproc.inference.fair_queue import FairQueue, QueueFull
from extproc.inference.interface import RoleUnavailable
from extproc.inference.kserve import Answer, Description, Question
from extproc.inference.reading_speed import Speed
from extproc.inference.text_cost import work
from extproc.request_stats import ModelCall
from extproc.shared.filter_config import Backend, Place, Role, RoleBackends
from extproc.shared.worker_status import BackendStatus, RoleStatus

log = logging.getLogger(__name__)

_REMEMBERED: Final = 256
_STATISTICS_S: Final = 0.5
# Of its timeout. The gateway's own work takes from a request's budget too, so the last attempt never has all of it.
_NEARLY_ALL: Final = 0.9

# Requests that wait for a turn at one backend, in each worker. Those behind could not be answered in time.
_MOST_WAITING: Final = 256
# How long an answer may take that nobody waits for any more.
_ABANDONED_S: Final = 30.0

_NO_TIME: Final = Fault(Reason.BUDGET, "no time is left of what the request's models may take")

T = TypeVar("T")

# What one output tensor says of so many texts. Raises `CallFailed` where it is not of the role's form.
Read = Callable[[int, bytes], T]


@dataclass(frozen=True, slots=True)
class _Part:
    """What one call asks: equally long columns of texts."""

    columns: Mapping[str, Sequence[bytes]]
    work: int


def _parts(columns: Mapping[str, Sequence[str]], most_texts: int, most_work: int) -> list[_Part]:
    """The columns cut into calls of at most so many texts, and of about so much work."""
    parts: list[_Part] = []
    start = done = 0
    for index, row in enumerate(zip(*columns.values(), strict=True)):
        more = sum(map(work, row))
        if index > start and (index - start == most_texts or done + more > most_work):
            parts.append(_part(columns, start, index, done))
            start, done = index, 0
        done += more
    return [*parts, _part(columns, start, None, done)]


def _part(columns: Mapping[str, Sequence[str]], start: int, end: int | None, done: int) -> _Part:
    encoded = {name: [text.encode(errors="replace") for text in column[start:end]] for name, column in columns.items()}
    return _Part(encoded, done)


async def _turn(turns: FairQueue, cost: int, ends: float) -> Callable[[], None]:
    """Waits for a turn; the function that it gives ends it. Work of the gateway's own does not wait.

    Raises `CallFailed`.
    """
    caller = callers.current()
    if caller is None:
        return lambda: None
    try:
        async with asyncio.timeout(ends - time.perf_counter()):
            await turns.take(caller, cost)
    except QueueFull as full:
        raise CallFailed(Reason.OVERLOADED, f"{_MOST_WAITING} requests wait for it already", of_question=True) from full
    except TimeoutError as late:
        raise CallFailed(Reason.OVERLOADED, "other requests took all the time", of_question=True) from late
    return turns.release


class BackendClient:
    """A role's model at one place. `stands_in`: whether another place answers where this one does not."""

    def __init__(self, role: Role, backend: Backend, link: Link, timeout_s: float, *, stands_in: bool) -> None:
        self.role = role
        self.model = backend.model
        self.timeout_s = timeout_s
        self.link = link
        self._backend = backend
        self._turns = FairQueue(backend.calls, _MOST_WAITING)
        self._bulk_turns = FairQueue(backend.bulk_calls, _MOST_WAITING)
        self._speed = Speed()
        self._running: set[asyncio.Task[Answer]] = set()
        self.breaker = Breaker(stands_in=stands_in)
        # Set once nobody need wait for the first contact any more.
        self.contacted = asyncio.Event()
        # Set where the watch shall look at once.
        self.alarm = asyncio.Event()
        self._most = self._configured_most = backend.max_batch
        self._output = model_signature.SIGNATURES[role].output.name
        self._timed = False
        self._calls = 0
        self._recent_ms: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def place(self) -> Place:
        return self.link.place

    def learn(self, found: Description) -> None:
        """Take over what the server says of the model. Raises `CallFailed` where it is not the role's."""
        wrong = model_signature.mismatch(self.role, found)
        if wrong is not None:
            raise CallFailed(Reason.MISMATCH, f"model {self.model}: {wrong}")
        most = model_signature.most_texts(found)
        self._most = self._configured_most if most is None else min(most, self._configured_most)
        self._timed = model_signature.is_timed(found)

    async def infer(self, columns: Mapping[str, Sequence[str]], read: Read[T], timeout_s: float) -> list[T]:
        """What `read` makes of equally long columns of texts, in calls of a size that others can wait for.

        `timeout_s` is for each call; all of them have what is left of the request's budget. Raises `CallFailed`.
        """
        parts = _parts(columns, self._most, self._backend.call_bytes)
        left_s = deadline.left_s()
        ends = time.perf_counter() + (timeout_s if left_s is None or len(parts) == 1 else left_s)
        bulk = sum(part.work for part in parts) >= self._backend.bulk_bytes
        if len(parts) == 1:
            return [await self._infer(parts[0], read, timeout_s, ends, bulk=bulk)]
        try:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(self._infer(part, read, timeout_s, ends, bulk=bulk)) for part in parts]
        except* CallFailed as failed:
            raise failed.exceptions[0] from None
        return [call.result() for call in calls]

    async def _infer(self, part: _Part, read: Read[T], timeout_s: float, ends: float, *, bulk: bool) -> T:
        """One call, when it is its turn, counted to the request that it is made for."""
        began = time.perf_counter()
        compute_ms: float | None = None
        # A request that ends before its answer has come, blocked or too late, was not served by it.
        reason = "cancelled"
        try:
            question = Question(
                self.model, part.columns, self._output, self._timed, bulk=bulk and self._backend.background
            )
            release = await _turn(self._bulk_turns if bulk else self._turns, part.work, ends)
            asked = time.perf_counter()
            answer = await self._answer(question, release, timeout_s, ends)
            found = read(len(next(iter(part.columns.values()))), answer.raw)
            compute_ms, reason = answer.compute_ms, ""
            if bulk:
                self._speed.measured(part.work, compute_ms or (time.perf_counter() - asked) * 1000)
        except CallFailed as failed:
            reason = failed.fault.reason
            raise
        else:
            return found
        finally:
            spent = request_stats.current()
            if spent is not None:
                ended = time.perf_counter()
                network_ms = self.link.network_ms
                spent.models.append(ModelCall(self.role, self.place, began, ended, compute_ms, network_ms, reason))

    async def _answer(self, question: Question, release: Callable[[], None], timeout_s: float, ends: float) -> Answer:
        """The server's answer. Who no longer waits for it leaves it to come: cancelled calls can end a tritonserver
        (a segmentation fault in 2 of 334,000), and would be computed all the same.
        """
        left_s = min(timeout_s, ends - time.perf_counter())
        call = asyncio.create_task(self.link.transport.infer(question, max(_ABANDONED_S, self.timeout_s)))
        self._running.add(call)

        def ended(_: asyncio.Task[Answer]) -> None:
            release()
            self._running.discard(call)
            if not call.cancelled():
                # An error of a call that nobody waits for any more is nobody's.
                call.exception()

        call.add_done_callback(ended)
        done, _ = await asyncio.wait({call}, timeout=max(0.0, left_s))
        if done:
            return call.result()
        if left_s < _NEARLY_ALL * timeout_s:
            detail = f"no answer within the {left_s * 1000:.0f} ms that were left"
            raise CallFailed(Reason.BUDGET, detail, of_question=True)
        raise CallFailed(Reason.TIMEOUT, f"no answer within {left_s * 1000:.0f} ms")

    @property
    def bytes_per_s(self) -> float | None:
        """How much of long texts it reads; None before it has read any."""
        if self._speed.bytes_per_s is None:
            return None
        return self._speed.bytes_per_s * (self._backend.bulk_calls if self._backend.background else 1)

    @property
    def bulk_bytes(self) -> int:
        """From how many bytes of text on a request counts as a long one."""
        return self._backend.bulk_bytes

    async def close(self) -> None:
        """Ends the calls that nobody waits for any more."""
        running = tuple(self._running)
        for call in running:
            call.cancel()
        await asyncio.gather(*running, return_exceptions=True)

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

    async def status(self) -> BackendStatus:
        fault = self.breaker.fault
        try:
            found = await self.link.transport.statistics(self.model, _STATISTICS_S)
        except CallFailed:
            # Whether the model answers is known without them.
            found = None
        return BackendStatus(
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


class RoleClient:
    """A role with its places, the preferred one first."""

    def __init__(self, role: Role, served: RoleBackends, links: Mapping[Place, Link]) -> None:
        self.role = role
        self._timeout_s = served.timeout_ms / 1000
        last = len(served.backends) - 1
        self.placed = tuple(
            BackendClient(role, backend, links[backend.place], self._timeout_s, stands_in=index < last)
            for index, backend in enumerate(served.backends)
        )
        self._skipped: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()

    @property
    def fault(self) -> Fault | None:
        """Why no place answers; None where one does."""
        faults = [each.breaker.fault for each in self.placed]
        return None if None in faults else faults[-1]

    @property
    def bytes_per_s(self) -> float | None:
        """Of the place that is asked now; None where that is not known."""
        at = next((each for each in self.placed if each.breaker.fault is None), None)
        return None if at is None else at.bytes_per_s

    async def ask(
        self, work: Callable[[BackendClient, float], Awaitable[T]], places: Collection[str] | None = None
    ) -> tuple[Place, T]:
        """What the first of `places` answers that can. `work` asks one within so many seconds, or raises `CallFailed`.

        Raises `RoleUnavailable`.
        """
        fault = Fault(Reason.UNREACHABLE, "it has no such place")
        passed: BackendClient | None = None
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
        left_s = deadline.left_s()
        return self._timeout_s if left_s is None else min(self._timeout_s, left_s)

    async def status(self) -> RoleStatus:
        backends = await asyncio.gather(*(each.status() for each in self.placed))
        return RoleStatus(backends=tuple(backends), skipped=dict(self._skipped), failed=dict(self._failed))


async def _why_not(at: BackendClient, timeout_s: float) -> Fault | None:
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
    if request_stats.current() is not None:
        counts[what] += 1


def _count_passed(at: BackendClient, fault: Fault) -> None:
    """A place that was not asked cost nothing, and the request's costs say why."""
    spent = request_stats.current()
    if spent is not None:
        now = time.perf_counter()
        spent.models.append(ModelCall(at.role, at.place, now, now, reason=fault.reason))

"""The client of a role's model at one backend: queues, calls, circuit breaker, status.

Called by fallback.py for requests and by health.py for probes.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

from extproc import client_context, request_stats
from extproc.inference import call_chunks, deadline, model_signature
from extproc.inference.call_chunks import CallChunk
from extproc.inference.call_failures import CallFailed, Failure, FailureReason
from extproc.inference.circuit_breaker import CircuitBreaker
from extproc.inference.connections import ServerConnection
from extproc.inference.fair_queue import FairQueue, QueueFull
from extproc.inference.kserve import InferRequest, InferResponse, ModelMetadata
from extproc.inference.reading_speed import ReadingSpeed
from extproc.request_stats import ModelCall
from extproc.shared.filter_config import Backend, Place
from extproc.shared.roles import ROLES, Role
from extproc.shared.scripts import Script
from extproc.shared.worker_status import BackendStatus

log = logging.getLogger(__name__)

# Durations kept for the status.
_RECENT_CALLS: Final = 256
_STATISTICS_TIMEOUT_S: Final = 0.5
# A share of a call's timeout. If a call had less time than that and was late, the deadline is the reason, not the
# backend. It is less than 1 because the gateway's own work also takes time from the request's deadline.
NEARLY_ALL: Final = 0.9

# Maximum requests that wait for a turn at one backend, in each worker. More would miss their deadline while waiting.
_MAX_WAITING: Final = 256
# Minimum timeout of a call at the server. The call runs on for so long, even if no request waits for it any more.
_ABANDONED_S: Final = 30.0

T = TypeVar("T")

# Decodes the output tensor of a call, given its number of rows. Raises `CallFailed` if it does not fit the role.
Decode = Callable[[int, bytes], T]


class BackendClient:
    """With `has_fallback`, another backend of the role answers if this one cannot."""

    def __init__(
        self, role: Role, backend: Backend, connection: ServerConnection, timeout_s: float, *, has_fallback: bool
    ) -> None:
        self.role = role
        self.model = backend.model
        self.timeout_s = timeout_s
        self.connection = connection
        self._backend = backend
        self._queue = FairQueue(backend.calls, _MAX_WAITING)
        self._bulk_queue = FairQueue(backend.bulk_calls, _MAX_WAITING)
        self._reading_speed = ReadingSpeed()
        self._running: set[asyncio.Task[InferResponse]] = set()
        self.breaker = CircuitBreaker(has_fallback=has_fallback)
        # Set after the first probe, or when no request should wait for it any more.
        self.probed = asyncio.Event()
        # Set to make the watch probe at once.
        self.probe_now = asyncio.Event()
        self._max_texts = self._configured_max_texts = backend.max_batch
        self._spec = ROLES[role]
        self._inputs = self._spec.inputs
        self._reports_compute_time = False
        self._calls = 0
        self._recent_ms: deque[float] = deque(maxlen=_RECENT_CALLS)

    @property
    def place(self) -> Place:
        return self.connection.place

    def apply_metadata(self, metadata: ModelMetadata) -> None:
        """Adapts calls to the server's model. Raises `CallFailed` if the model does not fit the role."""
        mismatch = model_signature.mismatch(self.role, metadata)
        if mismatch is not None:
            raise CallFailed(FailureReason.MISMATCH, f"model {self.model}: {mismatch}")
        served = model_signature.max_texts(metadata)
        self._max_texts = self._configured_max_texts if served is None else min(served, self._configured_max_texts)
        self._inputs = (*self._spec.inputs, *model_signature.optional_inputs(self.role, metadata))
        self._reports_compute_time = model_signature.reports_compute_time(metadata)

    @property
    def scripts(self) -> frozenset[Script]:
        """The scripts that the model reads; empty: all."""
        return frozenset(self._backend.scripts)

    async def infer(self, columns: Mapping[str, Sequence[str]], decode: Decode[T], timeout_s: float) -> list[T]:
        """Sends columns of equal length, by the names of their inputs, and returns the decoded output of each chunk.

        Columns for optional inputs are left out if the model lacks them. Optional inputs without a column get their
        default. `timeout_s` limits each call. All calls together have the time until the request's deadline. Raises
        `CallFailed`.
        """
        rows = len(columns[self._spec.inputs[0]])
        defaults = {name: [value] * rows for name, value in self._spec.optional_inputs.items()}
        inputs = {name: columns.get(name, ()) or defaults.get(name, ()) for name in self._inputs}
        chunks = call_chunks.split(inputs, self._max_texts, self._backend.call_bytes)
        remaining_s = deadline.remaining_s()
        ends = time.perf_counter() + (timeout_s if remaining_s is None or len(chunks) == 1 else remaining_s)
        is_bulk = sum(chunk.cost for chunk in chunks) >= self._backend.bulk_bytes
        if len(chunks) == 1:
            return [await self._infer(chunks[0], decode, timeout_s, ends, is_bulk=is_bulk)]
        calls = [asyncio.create_task(self._infer(chunk, decode, timeout_s, ends, is_bulk=is_bulk)) for chunk in chunks]
        try:
            return await asyncio.gather(*calls)
        except BaseException:
            # Not a TaskGroup: in Python 3.11 it loses a cancellation that arrives while a call fails.
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            raise

    async def _infer(self, chunk: CallChunk, decode: Decode[T], timeout_s: float, ends: float, *, is_bulk: bool) -> T:
        """Makes one call when its turn comes, and adds it to the statistics of the request."""
        began = time.perf_counter()
        compute_ms: float | None = None
        # Stays if the request ends before the response: another guard blocked it, or its deadline passed.
        reason = "cancelled"
        try:
            in_background = is_bulk and self._backend.background
            request = InferRequest(
                self.model,
                chunk.columns,
                self._spec.output,
                self._reports_compute_time,
                in_background=in_background,
            )
            release = await _wait_for_turn(self._bulk_queue if is_bulk else self._queue, chunk.cost, ends)
            sent = time.perf_counter()
            response = await self._send(request, release, timeout_s, ends)
            decoded = decode(chunk.rows, response.raw)
            compute_ms, reason = response.compute_ms, ""
            if is_bulk:
                self._reading_speed.record(chunk.cost, compute_ms or (time.perf_counter() - sent) * 1000)
        except CallFailed as failed:
            reason = failed.failure.reason
            raise
        else:
            return decoded
        finally:
            stats = request_stats.current()
            if stats is not None:
                ended = time.perf_counter()
                network_ms = self.connection.network_ms
                stats.models.append(ModelCall(self.role, self.place, began, ended, compute_ms, network_ms, reason))

    async def _send(
        self, request: InferRequest, release: Callable[[], None], timeout_s: float, ends: float
    ) -> InferResponse:
        """Returns the server's response. The call runs on if the request is cancelled or its time is up.

        Cancelling the call would not save work, since the server computes it anyway. It can also crash tritonserver:
        a segmentation fault in 2 of 334,000 cases.
        """
        remaining_s = min(timeout_s, ends - time.perf_counter())
        call = asyncio.create_task(self.connection.client.infer(request, max(_ABANDONED_S, self.timeout_s)))
        self._running.add(call)

        def on_done(_: asyncio.Task[InferResponse]) -> None:
            release()
            self._running.discard(call)
            if not call.cancelled():
                # Marks the exception as retrieved: perhaps no request waits for this call any more.
                call.exception()

        call.add_done_callback(on_done)
        done, _ = await asyncio.wait({call}, timeout=max(0.0, remaining_s))
        if done:
            return call.result()
        if remaining_s < NEARLY_ALL * timeout_s:
            raise CallFailed(FailureReason.BUDGET, late_detail(remaining_s), caused_by_request=True)
        raise CallFailed(FailureReason.TIMEOUT, f"no answer within {remaining_s * 1000:.0f} ms")

    @property
    def bytes_per_s(self) -> float | None:
        """The reading speed for long texts, in bytes of prose a second; None before the first long text."""
        if self._reading_speed.bytes_per_s is None:
            return None
        return self._reading_speed.bytes_per_s * (self._backend.bulk_calls if self._backend.background else 1)

    @property
    def bulk_bytes(self) -> int:
        """A request of at least this many bytes of prose is a bulk request."""
        return self._backend.bulk_bytes

    async def close(self) -> None:
        """Cancels the calls that still run."""
        running = tuple(self._running)
        for call in running:
            call.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def record_success(self, duration_s: float) -> None:
        self._calls += 1
        self._recent_ms.append(duration_s * 1000)
        self.breaker.record_success()

    def record_failure(self, failure: Failure) -> None:
        if self.breaker.record_failure(failure):
            self._log_state()
            self.probe_now.set()

    def record_probe(self, failure: Failure | None) -> None:
        if self.breaker.record_probe(failure):
            self._log_state()
        self.probed.set()

    def _log_state(self) -> None:
        fields = {"role": self.role, "place": self.place, "model": self.model}
        failure = self.breaker.failure
        if failure is None:
            log.info("model available", extra={"fields": fields})
        else:
            fields |= {"reason": failure.reason, "detail": failure.detail}
            log.warning("model unavailable", extra={"fields": fields})

    async def status(self) -> BackendStatus:
        failure = self.breaker.failure
        try:
            statistics = await self.connection.client.model_statistics(self.model, _STATISTICS_TIMEOUT_S)
        except CallFailed:
            # The status stays useful without them.
            statistics = None
        return BackendStatus(
            place=self.place,
            model=self.model,
            ready=failure is None,
            reason=failure.reason if failure else "",
            detail=failure.detail if failure else "",
            calls=self._calls,
            recent_ms=tuple(self._recent_ms),
            queue_ms=statistics.queue_ms if statistics else None,
            compute_ms=statistics.compute_ms if statistics else None,
        )


def late_detail(remaining_s: float) -> str:
    """Returns the sentence for a call that had less time than its timeout."""
    return f"no answer within the {remaining_s * 1000:.0f} ms that were left before the deadline"


async def _wait_for_turn(queue: FairQueue, cost: int, ends: float) -> Callable[[], None]:
    """Waits for a turn and returns the function that releases it. The gateway's own work, such as a probe, never waits.

    Raises `CallFailed`.
    """
    request = client_context.current()
    if request is None:
        return lambda: None
    try:
        async with asyncio.timeout(ends - time.perf_counter()):
            await queue.acquire(request, cost)
    except QueueFull as full:
        detail = f"the queue is full: {_MAX_WAITING} requests wait for the model"
        raise CallFailed(FailureReason.OVERLOADED, detail, caused_by_request=True) from full
    except TimeoutError as late:
        detail = "the deadline passed while the request waited behind others"
        raise CallFailed(FailureReason.OVERLOADED, detail, caused_by_request=True) from late
    return queue.release

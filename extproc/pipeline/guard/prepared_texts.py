"""Prepares the texts of one request for the guards: decoded variants, cut into chunks. Used by evaluator.py.

The result is shared by all guards of a request. A long text is prepared in a thread, in steps of a few milliseconds:
between two steps the event loop serves other requests, and the long texts of other clients take their turns.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from extproc import client_context, worker_thread
from extproc.inference.fair_queue import FairQueue
from extproc.inference.text_cost import prose_bytes
from extproc.pipeline.guard.chunking import chunks
from extproc.pipeline.guard.decoded_variants import VariantsTooLong, decoded_variants, decoded_variants_in_steps
from extproc.pipeline.guard.script_detection import count_letters, unreadable_scripts
from extproc.pipeline.guard.suspicion_score import SuspicionScorer
from extproc.shared.scripts import Script

# Characters. A longer text takes more than a few milliseconds.
_LONG_TEXT: Final = 2_048
# Chunks that are cut or scored in one step.
_STEP_CHUNKS: Final = 64
# Characters of a text for each byte of work that the guards may do. Longer texts are refused before normalization. The
# factor is generous, since normalization removes invisible characters.
_MAX_CHARS_PER_WORK: Final = 8

Letters = Mapping[Script, int]
K = TypeVar("K")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chunks:
    """The chunks of one text. `decoded`: those of a decoded variant. `work`: their cost for a model, see text_cost.py.

    `is_complete`: the chunks cover the whole text. `letters`: the number of letters of each script, for each chunk of
    the whole text.
    """

    texts: tuple[str, ...]
    decoded: frozenset[str]
    work: int
    is_complete: bool = True
    letters: tuple[Letters, ...] = ()

    @property
    def count(self) -> int:
        """The number of chunks of the whole text, also if only some of them are kept here."""
        return max(len(self.letters), len(self.texts))

    def unreadable_scripts(self, readable: Collection[Script]) -> frozenset[Script]:
        """Returns the scripts of the chunks that a model which reads the scripts `readable` cannot read."""
        return frozenset[Script]().union(*(unreadable_scripts(letters, readable) for letters in self.letters))


class PreparedTexts:
    """Prepares each text of one request once. `max_work`: the limit for the work of all texts; None: no limit.

    `queue` orders the preparation of long texts among all requests.
    """

    def __init__(self, queue: FairQueue, max_work: float | None) -> None:
        self._queue = queue
        self._max_work = None if max_work is None else int(max_work)
        self._chunks: dict[str, asyncio.Task[Chunks]] = {}
        self._ranked: asyncio.Task[tuple[list[str], list[str]]] | None = None

    async def all_chunks(self, texts: Sequence[str]) -> Mapping[str, Chunks]:
        """Returns all chunks of each text. Raises `VariantsTooLong`, and `QueueFull` if too many long texts wait."""
        if self._max_work is not None and sum(map(len, texts)) > self._max_work * _MAX_CHARS_PER_WORK:
            raise VariantsTooLong
        prepared: dict[str, Chunks] = {}
        for text in texts:
            if text not in self._chunks:
                self._chunks[text] = asyncio.create_task(self._prepare(text))
            prepared[text] = await self._chunks[text]
            if self._max_work is not None and total_work(prepared) > self._max_work:
                raise VariantsTooLong
        return prepared

    async def most_suspicious(
        self, prepared: Mapping[str, Chunks], max_work: int, scorer: SuspicionScorer
    ) -> Mapping[str, Chunks]:
        """Keeps the most suspicious chunks, up to `max_work`. Decoded chunks come first and get up to half of it.

        Raises `QueueFull`.
        """
        if self._ranked is None:
            self._ranked = asyncio.create_task(self._run_steps(_rank_in_steps(prepared, scorer)))
        plain, decoded = await self._ranked
        chosen = _take(decoded, max_work // 2)
        chosen |= _take(plain, max_work - sum(map(prose_bytes, chosen)))
        return {text: _only(each, chosen) for text, each in prepared.items()}

    async def _prepare(self, text: str) -> Chunks:
        if len(text) <= _LONG_TEXT:
            plain, *decoded = decoded_variants(text)
            return _chunks(_with_letters(_cut(plain)), [chunk for variant in decoded for chunk in _cut(variant)])
        return await self._run_steps(_prepare_in_steps(text, self._max_work))

    async def _run_steps(self, steps: Generator[None, None, T]) -> T:
        caller = client_context.current()
        while True:
            if caller is not None:
                await self._queue.acquire(caller, 1)
            try:
                done = await worker_thread.run(True, _step, steps)
            finally:
                if caller is not None:
                    self._queue.release()
            if done:
                return done[0]


def total_work(prepared: Mapping[K, Chunks]) -> int:
    return sum(each.work for each in prepared.values())


def _step(steps: Generator[None, None, T]) -> tuple[T] | None:
    """Runs one step. Returns the result after the last step, in a tuple: a StopIteration cannot leave a thread."""
    try:
        next(steps)
    except StopIteration as done:
        return (done.value,)
    return None


def _prepare_in_steps(text: str, max_work: int | None) -> Generator[None, None, Chunks]:
    plain, *decoded = yield from decoded_variants_in_steps(text, max_work)
    plain_chunks: dict[str, Letters] = {}
    remaining = _cut(plain)
    while batch := _with_letters(islice(remaining, _STEP_CHUNKS)):
        plain_chunks |= batch
        yield
    return _chunks(plain_chunks, [chunk for variant in decoded for chunk in _cut(variant)])


def _cut(variant: str) -> Iterator[str]:
    return chunks(variant) if variant else iter(())


def _with_letters(chunks: Iterable[str]) -> dict[str, Letters]:
    return {chunk: count_letters(chunk) for chunk in chunks}


def _chunks(plain: Mapping[str, Letters], decoded: Sequence[str]) -> Chunks:
    every = {**plain, **_with_letters(decoded)}
    return Chunks(tuple(every), frozenset(decoded), sum(map(prose_bytes, every)), letters=tuple(every.values()))


def _rank_in_steps(
    prepared: Mapping[str, Chunks], scorer: SuspicionScorer
) -> Generator[None, None, tuple[list[str], list[str]]]:
    """Returns all plain and all decoded chunks, the most suspicious first."""
    ranks: dict[str, int] = {}
    every = list(dict.fromkeys(chunk for each in prepared.values() for chunk in each.texts))
    for start in range(0, len(every), _STEP_CHUNKS):
        ranks.update((chunk, -scorer.score(chunk)) for chunk in every[start : start + _STEP_CHUNKS])
        yield
    decoded = frozenset[str]().union(*(each.decoded for each in prepared.values()))
    every.sort(key=ranks.__getitem__)
    return [chunk for chunk in every if chunk not in decoded], [chunk for chunk in every if chunk in decoded]


def _take(ranked: Sequence[str], max_work: int) -> set[str]:
    """Takes chunks from the front until their work reaches `max_work`. The last one may exceed it."""
    chosen: set[str] = set()
    for chunk in ranked:
        if max_work <= 0:
            break
        max_work -= prose_bytes(chunk)
        chosen.add(chunk)
    return chosen


def _only(every: Chunks, chosen: Set[str]) -> Chunks:
    texts = tuple(chunk for chunk in every.texts if chunk in chosen)
    is_complete = len(texts) == len(every.texts)
    return Chunks(texts, every.decoded, sum(map(prose_bytes, texts)), is_complete, every.letters)

"""What the guards read of one request: its texts in all their readings, cut into pieces. Made once for all guards.

A long text is made readable in a thread, in steps of a few milliseconds: between two of them the event loop serves
others, and other clients' texts have their turns. Used by guard.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice
from typing import Final, TypeVar

from extproc import client_context as callers
from extproc import worker_thread
from extproc.inference.fair_queue import FairQueue
from extproc.inference.text_cost import prose_bytes
from extproc.pipeline.guard.chunking import pieces
from extproc.pipeline.guard.decoded_variants import TooLong, readings, readings_in_steps
from extproc.pipeline.guard.suspicion_score import Scan

# Characters. A longer text takes more than a few milliseconds.
_LONG_TEXT: Final = 2_048
# Pieces that are cut or scanned in one step.
_STEP: Final = 64
# Characters of a text for each byte that may be read: more of them are too long whatever they fold to. Generous, since
# invisible characters fold to nothing.
_MOST_UNFOLDED: Final = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Pieces:
    """Of one text. `decoded`: those of them that stood in it in disguise. `size`: their work for a model (work.py).
    `is_whole`: they are all of the text.
    """

    texts: tuple[str, ...]
    decoded: frozenset[str]
    size: int
    is_whole: bool = True


class Reading:
    """The texts of one request. `most`: how much work they may be; None: any.

    `turns`: in which order long texts of several requests are made readable.
    """

    def __init__(self, turns: FairQueue, most: float | None) -> None:
        self._turns = turns
        self._most = None if most is None else int(most)
        self._whole: dict[str, asyncio.Task[Pieces]] = {}
        self._ranked: asyncio.Task[tuple[list[str], list[str]]] | None = None

    async def whole(self, texts: Sequence[str]) -> Mapping[str, Pieces]:
        """Every piece of each text. Raises `TooLong`, and `QueueFull` where too many long texts wait already."""
        if self._most is not None and sum(map(len, texts)) > self._most * _MOST_UNFOLDED:
            raise TooLong
        found: dict[str, Pieces] = {}
        for text in texts:
            if text not in self._whole:
                self._whole[text] = asyncio.create_task(self._cut(text))
            found[text] = await self._whole[text]
            if self._most is not None and size(found) > self._most:
                raise TooLong
        return found

    async def suspicious(self, whole: Mapping[str, Pieces], most: int, scan: Scan) -> Mapping[str, Pieces]:
        """The pieces that a first pass finds most like an attack, `most` of work, and of what was in
        disguise up to half of that before the rest. Raises `QueueFull`.
        """
        if self._ranked is None:
            self._ranked = asyncio.create_task(self._in_steps(_ranked_in_steps(whole, scan)))
        plain, decoded = await self._ranked
        chosen = _first(decoded, most // 2)
        chosen |= _first(plain, most - sum(map(prose_bytes, chosen)))
        return {text: _kept(every, chosen) for text, every in whole.items()}

    async def _cut(self, text: str) -> Pieces:
        if len(text) <= _LONG_TEXT:
            plain, *hidden = readings(text)
            return _pieces(_cut(plain), [piece for reading in hidden for piece in _cut(reading)])
        return await self._in_steps(_cut_in_steps(text, self._most))

    async def _in_steps(self, steps: Generator[None, None, T]) -> T:
        caller = callers.current()
        while True:
            if caller is not None:
                await self._turns.acquire(caller, 1)
            try:
                done = await worker_thread.run(True, _step, steps)
            finally:
                if caller is not None:
                    self._turns.release()
            if done:
                return done[0]


def size(found: Mapping[str, Pieces]) -> int:
    """The work that they are for a model."""
    return sum(each.size for each in found.values())


def _step(steps: Generator[None, None, T]) -> tuple[T] | None:
    """One step; what all of them give, once there are no more. A thread cannot hand a StopIteration on."""
    try:
        next(steps)
    except StopIteration as done:
        return (done.value,)
    return None


def _cut_in_steps(text: str, most: int | None) -> Generator[None, None, Pieces]:
    plain, *hidden = yield from readings_in_steps(text, most)
    found: list[str] = []
    cut = _cut(plain)
    while some := list(islice(cut, _STEP)):
        found += some
        yield
    return _pieces(found, [piece for reading in hidden for piece in _cut(reading)])


def _cut(reading: str) -> Iterator[str]:
    return pieces(reading) if reading else iter(())


def _pieces(plain: Iterable[str], decoded: Sequence[str]) -> Pieces:
    every = tuple(dict.fromkeys((*plain, *decoded)))
    return Pieces(every, frozenset(decoded), sum(map(prose_bytes, every)))


def _ranked_in_steps(whole: Mapping[str, Pieces], scan: Scan) -> Generator[None, None, tuple[list[str], list[str]]]:
    """All plain and all decoded pieces, the most suspicious first."""
    scores: dict[str, int] = {}
    every = list(dict.fromkeys(piece for each in whole.values() for piece in each.texts))
    for start in range(0, len(every), _STEP):
        scores.update((piece, -scan.score(piece)) for piece in every[start : start + _STEP])
        yield
    decoded = frozenset[str]().union(*(each.decoded for each in whole.values()))
    every.sort(key=scores.__getitem__)
    return [piece for piece in every if piece not in decoded], [piece for piece in every if piece in decoded]


def _first(ranked: Sequence[str], most: int) -> set[str]:
    chosen: set[str] = set()
    for piece in ranked:
        if most <= 0:
            break
        most -= prose_bytes(piece)
        chosen.add(piece)
    return chosen


def _kept(every: Pieces, chosen: Set[str]) -> Pieces:
    texts = tuple(piece for piece in every.texts if piece in chosen)
    return Pieces(texts, every.decoded, sum(map(prose_bytes, texts)), is_whole=len(texts) == len(every.texts))

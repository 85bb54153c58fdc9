"""Threads behind everything else."""

from __future__ import annotations

import os
import threading
from functools import partial

from triton_models.background import Background


def test_works_are_done_at_a_lower_priority_than_the_rest_of_the_process() -> None:
    found: list[int] = []
    done = threading.Event()

    def work() -> None:
        found.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        done.set()

    Background(1).submit(work)
    assert done.wait(10)
    assert found[0] >= os.getpriority(os.PRIO_PROCESS, 0) + 10 or found[0] == 19


def _meet(barrier: threading.Barrier) -> None:
    barrier.wait()


def test_as_many_works_are_done_at_once_as_there_are_threads() -> None:
    background, meeting = Background(2), threading.Barrier(3, timeout=10)
    for _ in range(2):
        background.submit(partial(_meet, meeting))
    meeting.wait()

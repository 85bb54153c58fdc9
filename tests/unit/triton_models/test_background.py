"""Threads behind everything else."""

from __future__ import annotations

import os
import threading
from functools import partial

from triton_models.background import Background


def test_tasks_run_at_low_priority() -> None:
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


def test_runs_as_many_tasks_at_once_as_threads() -> None:
    background, meeting = Background(2), threading.Barrier(3, timeout=10)
    for _ in range(2):
        background.submit(partial(_meet, meeting))
    meeting.wait()

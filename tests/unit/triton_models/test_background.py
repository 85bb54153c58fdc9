"""Threads behind everything else."""

from __future__ import annotations

import os
import threading

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


def test_runs_as_many_tasks_at_once_as_threads() -> None:
    """Each of the three tasks waits until two run at once. The third gets no thread."""
    background = Background(2)
    running, release = threading.Semaphore(0), threading.Event()

    def work() -> None:
        running.release()
        release.wait(10)

    for _ in range(3):
        background.submit(work)
    assert [running.acquire(timeout=10) for _ in range(2)] == [True, True]
    assert not running.acquire(timeout=0.1)
    release.set()
    assert running.acquire(timeout=10)

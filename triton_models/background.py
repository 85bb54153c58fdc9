"""Background threads of low priority that compute long texts, so that short ones do not wait. Used by guard/model.py.

They share the model's weights with the thread that answers short texts, and get the processor time that it leaves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

# A thread then gets a tenth of a core that a thread of normal priority wants too: long texts progress under load.
_NICE: Final = 10


class Background:
    """Tasks start in their order, as many at once as there are threads. A task must not raise.

    The threads end with the process.
    """

    def __init__(self, threads: int) -> None:
        self._tasks: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for index in range(threads):
            threading.Thread(target=self._run, name=f"background-{index}", daemon=True).start()

    def submit(self, task: Callable[[], None]) -> None:
        """Queues a task and returns at once."""
        self._tasks.put(task)

    def _run(self) -> None:
        # Linux has a priority for each thread.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            self._tasks.get()()

"""Threads that compute behind everything else on the machine: long texts, for which nobody shall wait. Used by models
that run inside Triton's stub process.

They share the model's weights with the thread that answers short texts, and the kernel gives them what that leaves.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

# A tenth of a processor that others want too, so that long texts go on under load.
_NICE: Final = 10


class Background:
    """`submit` returns at once; works begin in their order, as many at once as there are threads.

    No work may raise. The threads end with the process.
    """

    def __init__(self, threads: int) -> None:
        self._works: SimpleQueue[Callable[[], None]] = SimpleQueue()
        for index in range(threads):
            threading.Thread(target=self._run, name=f"background-{index}", daemon=True).start()

    def submit(self, work: Callable[[], None]) -> None:
        """Have `work` done."""
        self._works.put(work)

    def _run(self) -> None:
        # Linux has a priority for each thread.
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
        while True:
            self._works.get()()

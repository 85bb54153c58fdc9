"""One thread beside the event loop, for parsing, screening and encoding large bodies.

One and not several: threads share Python's lock, so each more would delay the event loop and finish nothing sooner.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# How long the thread keeps Python's lock while the event loop waits for it. Python's own 5 ms are paid several times a
# request.
_SWITCH_S: Final = 0.0005

_THREAD: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-bodies")


def set_switch_interval() -> None:
    """Let the event loop interrupt the thread soon. Once a process, at its start."""
    sys.setswitchinterval(_SWITCH_S)


async def run(large: bool, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """The result of `function`: computed in the thread where its input is `large`, else at once."""
    if not large:
        return function(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: function(*args, **kwargs))

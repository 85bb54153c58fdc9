"""One thread beside the event loop, for parsing, text extraction and encoding of large bodies.

More threads would delay the event loop and finish nothing sooner, since all share Python's interpreter lock.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")

# The thread keeps the interpreter lock for this long while the event loop waits for it. Python's default of 5 ms would
# delay a request several times.
_SWITCH_INTERVAL_S: Final = 0.0005

_THREAD: Final = ThreadPoolExecutor(max_workers=1, thread_name_prefix="large-bodies")


def set_switch_interval() -> None:
    """Lets the event loop interrupt the thread soon. Called once, as the process starts."""
    sys.setswitchinterval(_SWITCH_INTERVAL_S)


async def run(large: bool, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Returns the result of `function`, computed in the thread if its input is `large`, else at once."""
    if not large:
        return function(*args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_THREAD, lambda: function(*args, **kwargs))

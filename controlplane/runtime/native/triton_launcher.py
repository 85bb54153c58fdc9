"""Becomes tritonserver, once nothing is left of an earlier one. Run by the supervisor, each time that Triton starts:

    python -P -m controlplane.runtime.native.triton_launcher RUN_DIR PROGRAM [ARGUMENT...]

A server that was killed leaves its shared memory, its sockets, beside which no other starts, and at times a model's
process, which holds the memory of a model and computes for nobody.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from controlplane.runtime import place
from controlplane.runtime.commands import TRITON
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native import processes

# A process that waits for a device dies only then.
_WAIT_S: Final = 10.0


def main(arguments: Sequence[str]) -> None:
    """Does not return."""
    run_dir, *command = arguments
    tidy(RunLayout(Path(run_dir)))
    os.execv(command[0], command)  # noqa: S606 - the control plane's own command line


def tidy(layout: RunLayout) -> None:
    """End the processes of an earlier Triton of this run directory, and remove what it left."""
    if left := processes.kill(layout.root, TRITON, _WAIT_S):
        print(f"processes of an earlier Triton do not end: {', '.join(map(str, left))}", file=sys.stderr, flush=True)
    for socket in (layout.triton_http, layout.triton_grpc):
        socket.unlink(missing_ok=True)
    place.clear_shared_memory(layout)


if __name__ == "__main__":
    main(sys.argv[1:])

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

from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory
from controlplane.runtime.command_lines import TRITON
from controlplane.runtime.native import gateway_processes, private_shared_memory

# A process that waits for a device dies only then.
_WAIT_S: Final = 10.0


def main(arguments: Sequence[str]) -> None:
    """Does not return."""
    run_dir, *command = arguments
    tidy(RunLayout(Path(run_dir)))
    try:
        private_shared_memory.mount()
    except OSError as error:
        _say(
            f"other users of this machine can read what the models are asked: {error}. "
            "Let the gateway make user namespaces, or give it a machine or a container of its own"
        )
    os.execv(command[0], command)  # noqa: S606 - the control plane's own command line


def tidy(layout: RunLayout) -> None:
    """End the processes of an earlier Triton of this run directory, and remove what it left."""
    if left := gateway_processes.kill_service(layout.root, TRITON, _WAIT_S):
        _say(f"processes of an earlier Triton do not end: {', '.join(map(str, left))}")
    for socket in (layout.triton_http, layout.triton_grpc):
        socket.unlink(missing_ok=True)
    run_directory.clear_shared_memory(layout)


def _say(text: str) -> None:
    print(f"archgw: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

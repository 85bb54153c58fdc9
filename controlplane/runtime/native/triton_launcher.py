"""Cleans up after an earlier Triton and executes tritonserver. Run by the supervisor at each (re)start of Triton:

    python -P -m controlplane.runtime.native.triton_launcher RUN_DIR PROGRAM [ARGUMENT...]

A killed server leaves shared memory, sockets that prevent a new start, and sometimes model processes that still hold
memory.
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

# A process that waits for a device ends only when the device answers.
_WAIT_S: Final = 10.0


def main(arguments: Sequence[str]) -> None:
    """Clean up, mount a private /dev/shm and execute the server. Does not return."""
    run_dir, *command = arguments
    tidy(RunLayout(Path(run_dir)))
    try:
        private_shared_memory.mount()
    except OSError as error:
        _say(
            f"other users of this machine can read the texts that go to the models: {error}. "
            "Let the gateway make user namespaces, or give it a machine or a container of its own"
        )
    os.execv(command[0], command)  # noqa: S606 - command line of the control plane


def tidy(layout: RunLayout) -> None:
    """Kill the processes of an earlier Triton of this run directory, and remove its sockets and shared memory."""
    if alive := gateway_processes.kill_service(layout.root, TRITON, _WAIT_S):
        _say(f"processes of an earlier Triton do not end: {', '.join(map(str, alive))}")
    for socket in (layout.triton_http, layout.triton_grpc):
        socket.unlink(missing_ok=True)
    run_directory.clear_shared_memory(layout)


def _say(text: str) -> None:
    print(f"archgw: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

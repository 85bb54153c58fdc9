"""`python -m extproc --config FILE --socket PATH`: one filter worker."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import Final

import uvloop

from extproc import logs, worker_thread
from extproc.server import serve
from extproc.shared import filter_config

# A third of a core that a process of normal priority wants too.
_NICE: Final = 5


def main() -> int:
    parser = argparse.ArgumentParser(prog="extproc", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the filter config that the control plane compiled")
    parser.add_argument("--socket", type=Path, required=True, help="unix socket to serve on")
    parser.add_argument("--low-priority", action="store_true", help="let other processes go first")
    parser.add_argument("--log-level", default="info", choices=["debug", "info", "warning", "error"])
    options = parser.parse_args()
    logs.configure(options.log_level)
    try:
        loaded = filter_config.load(options.config)
    except (OSError, ValueError) as error:
        logging.getLogger(__name__).error("filter config cannot be read: %s", error)
        return 1
    worker_thread.set_switch_interval()
    if options.low_priority:
        os.nice(_NICE)
    uvloop.run(serve(loaded, options.socket))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`archgw up`: from a configuration file to a gateway that answers, or to nothing at all."""

from __future__ import annotations

import os
from collections.abc import Callable

from controlplane.config.load import load
from controlplane.runtime.layout import RunLayout
from controlplane.runtime.native.start import start as start_processes
from controlplane.runtime.wanted import Running, Wanted


def start(wanted: Wanted, layout: RunLayout, say: Callable[[str], None]) -> Running:
    """Start a gateway and wait until it answers. Whatever goes wrong, nothing of what it started is left running."""
    loaded = load(wanted.config, os.environ)
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    return start_processes(loaded, wanted, layout, say)

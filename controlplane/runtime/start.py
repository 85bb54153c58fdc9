"""`archgw up`: from a configuration file to a gateway that answers, or to nothing at all."""

from __future__ import annotations

import os
from collections.abc import Callable

from controlplane.config.load import load
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.runner import Runtime
from controlplane.runtime.start_options import RunningGateway, StartOptions

# Each runtime is imported where it is the one: the other's libraries may not be installed.
# ruff: noqa: PLC0415


def start(wanted: StartOptions, layout: RunLayout, say: Callable[[str], None]) -> RunningGateway:
    """Start a gateway and wait until it answers. Whatever goes wrong, nothing of what it started is left running."""
    loaded = load(wanted.config, os.environ)
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    runtime = wanted.runtime
    if runtime is None:
        from controlplane.runtime.docker.runtime_selection import choose_runtime

        runtime, why = choose_runtime(wanted, layout)
        say(f"note: runtime {runtime}: {why}")
    if runtime is Runtime.DOCKER:
        from controlplane.runtime.docker import start as docker

        return docker.start(loaded, wanted, layout, say)
    from controlplane.runtime.native import start as native

    return native.start(loaded, wanted, layout, say)

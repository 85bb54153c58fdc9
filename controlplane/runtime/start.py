"""Starts a gateway from its configuration file: `archgw up`."""

from __future__ import annotations

import os
from collections.abc import Callable

from controlplane.config.load import load
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.runner import Runtime
from controlplane.runtime.start_options import RunningGateway, StartOptions

# Only the chosen runtime is imported: the other one's libraries may not be installed.
# ruff: noqa: PLC0415


def start(options: StartOptions, layout: RunLayout, say: Callable[[str], None]) -> RunningGateway:
    """Start a gateway and wait until it answers. On failure, everything that was started is stopped."""
    loaded = load(options.config, os.environ)
    for warning in loaded.warnings:
        say(f"warning: {warning}")
    runtime = options.runtime
    if runtime is None:
        from controlplane.runtime.docker.runtime_selection import choose_runtime

        runtime, reason = choose_runtime(options, layout)
        say(f"note: runtime {runtime}: {reason}")
    if runtime is Runtime.DOCKER:
        from controlplane.runtime.docker import start as docker

        return docker.start(loaded, options, layout, say)
    from controlplane.runtime.native import start as native

    return native.start(loaded, options, layout, say)

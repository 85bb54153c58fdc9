"""The smallest gateway: an egress listener and no model. It starts in two seconds, so a test may stop it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from controlplane.runtime.runner import Runtime
from tests.dataplane.stack import Stack, free_ports
from tests.support.llm_provider import LlmProvider


def egress_config(provider: LlmProvider) -> dict[str, Any]:
    (egress,) = free_ports(1)
    return {
        "version": "v1",
        "listeners": {"ingress": {"enabled": False}, "egress": {"address": "127.0.0.1", "port": egress}},
        "llm_providers": [
            {"name": "a", "provider": "openai_compatible", "model": "m", "base_url": f"{provider.url}/v1"},
        ],
        "overrides": {"filter_workers": 2},
    }


@contextmanager
def egress_only(
    provider: LlmProvider,
    directory: Path,
    runtime: Runtime,
    overrides: Mapping[str, object] | None = None,
    **of_provider: object,
) -> Iterator[Stack]:
    """A running gateway, stopped at the end of the block."""
    config = egress_config(provider)
    config["overrides"] |= overrides or {}
    config["llm_providers"][0] |= of_provider
    stack = Stack(config, directory, runtime=runtime)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()

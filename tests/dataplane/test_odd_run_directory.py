"""A run directory whose name has special characters of shells, templates and YAML."""

from __future__ import annotations

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.load import prompt
from tests.dataplane.remote_config import guarded_config
from tests.dataplane.stack import Stack
from tests.support.llm_provider import LlmProvider


@pytest.mark.runtime(Runtime.NATIVE, why="containers see their own paths")
def test_gateway_runs_in_an_oddly_named_directory(
    runtime: Runtime, provider: LlmProvider, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Triton starts there too. It passes paths to a shell."""
    stack = Stack(
        guarded_config(provider, {}),
        tmp_path_factory.mktemp("odd") / "a %b 'c\"; $d {{e\n\\f\N{LATIN SMALL LETTER E WITH ACUTE}",
        runtime=runtime,
    )
    try:
        stack.up()
        assert stack.post("egress", prompt()).status_code == 200
        assert stack.status()["ready"]
    finally:
        stack.down()

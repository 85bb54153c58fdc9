"""A second, small gateway: an egress listener without models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.stack import Stack, free_ports
from tests.dataplane.tails import tails_on_failure
from tests.docker.project import Project
from tests.support.llm_provider import LlmProvider

KEY: Final = "sk-small-5d20c8fe"


@pytest.fixture
def project(stack: Stack) -> Project:
    """The project of the session's gateway."""
    return Project(stack.run_dir)


def small_config(provider_url: str) -> dict[str, Any]:
    """Returns a configuration with one worker and one provider."""
    (egress,) = free_ports(1)
    return {
        "version": "v1",
        "listeners": {"ingress": {"enabled": False}, "egress": {"address": "127.0.0.1", "port": egress}},
        "llm_providers": [
            {
                "name": "a",
                "provider": "openai_compatible",
                "model": "m",
                "access_key": "$SMALL_KEY",
                "base_url": f"{provider_url}/v1",
                "default": True,
                "timeout": "2s",
            }
        ],
        "overrides": {"filter_workers": 1},
    }


def small_stack(runtime: Runtime, directory: Path, provider_url: str) -> Stack:
    """Returns the small gateway, not yet started."""
    return Stack(small_config(provider_url), directory, {"SMALL_KEY": KEY}, runtime=runtime)


@pytest.fixture
def unstarted(
    runtime: Runtime, _providers: tuple[LlmProvider, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A gateway that the test starts itself."""
    stack = small_stack(runtime, tmp_path_factory.mktemp("small"), _providers[0].url)
    try:
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def _small(
    runtime: Runtime, _providers: tuple[LlmProvider, ...], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    stack = small_stack(runtime, tmp_path_factory.mktemp("small"), _providers[0].url)
    try:
        stack.up()
        yield stack
    finally:
        stack.down()


@pytest.fixture
def small(_small: Stack, request: pytest.FixtureRequest) -> Iterator[Stack]:
    """A running gateway. A test that breaks it repairs it."""
    with tails_on_failure(_small, request):
        yield _small

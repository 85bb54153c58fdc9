"""Versions of the Docker engine and of Compose that are new enough."""

from __future__ import annotations

import pytest

from controlplane.runtime.docker.engine_requirements import COMPOSE_AT_LEAST, ENGINE_AT_LEAST, is_at_least


@pytest.mark.parametrize(
    ("version", "enough"),
    [
        ("20.10.24+dfsg1", True),
        ("20.10.0", True),
        ("28.2.2", True),
        ("19.03.15", False),
        ("v2.20.2", False),
        ("dev", False),
        ("", False),
    ],
)
def test_compares_engine_versions_as_docker_writes_them(version: str, enough: bool) -> None:
    assert is_at_least(version, ENGINE_AT_LEAST) is enough


def test_compares_compose_versions() -> None:
    new, old = ("v2.20.0", "2.26.1-4", "5.0.0"), ("2.6.1", "v2.19.9", "1.29.2")
    assert all(is_at_least(each, COMPOSE_AT_LEAST) for each in new)
    assert not any(is_at_least(each, COMPOSE_AT_LEAST) for each in old)

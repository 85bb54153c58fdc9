"""A Triton of somebody else, for gateways whose models run there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme

from tests.dataplane.remote_triton import Cloud, running


@pytest.fixture(scope="session")
def cloud(authority: trustme.CA) -> Iterator[Cloud]:
    """A test that breaks it heals it again."""
    with running(authority) as cloud:
        yield cloud

"""The remote Triton of the session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trustme

from tests.dataplane.remote_triton import RemoteTriton, running_triton


@pytest.fixture(scope="session")
def remote_triton(authority: trustme.CA) -> Iterator[RemoteTriton]:
    """The remote Triton. A test that breaks it repairs it."""
    with running_triton(authority) as remote_triton:
        yield remote_triton

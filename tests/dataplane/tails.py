"""The logs of a gateway, shown if a test fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.dataplane.stack import Stack


@contextmanager
def tails_on_failure(stack: Stack, request: pytest.FixtureRequest) -> Iterator[None]:
    """Shows the last lines of the gateway's logs if a test fails inside the block."""
    failed_before = request.session.testsfailed
    yield
    if request.session.testsfailed > failed_before:
        print(stack.tails())

"""Crashes and odd requests with the reference transport, grpcio's server, instead of the default one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.egress_only import egress_only
from tests.dataplane.stack import Stack
from tests.dataplane.test_crashes import (
    test_ended_worker_fails_no_request,
    test_frozen_worker_gets_no_requests,
    test_killed_worker_cuts_no_passthrough_stream,
)
from tests.dataplane.test_raw_sockets import (
    test_chunked_body_is_read_at_any_chunk_size,
    test_pipelined_requests_are_answered_in_order,
    test_trailers_after_a_chunked_body_change_nothing,
)
from tests.support.llm_provider import LlmProvider

__all__ = [
    "test_chunked_body_is_read_at_any_chunk_size",
    "test_ended_worker_fails_no_request",
    "test_frozen_worker_gets_no_requests",
    "test_killed_worker_cuts_no_passthrough_stream",
    "test_pipelined_requests_are_answered_in_order",
    "test_trailers_after_a_chunked_body_change_nothing",
]

pytestmark = pytest.mark.matrix


@pytest.fixture(scope="module")
def _reference(
    runtime: Runtime, tmp_path_factory: pytest.TempPathFactory, _providers: tuple[LlmProvider, ...]
) -> Iterator[Stack]:
    overrides = {"filter_transport": "grpc_aio"}
    with egress_only(_providers[0], tmp_path_factory.mktemp("ref"), runtime, overrides) as stack:
        yield stack


@pytest.fixture
def stack(_reference: Stack) -> Stack:
    return _reference

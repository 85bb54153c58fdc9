"""The status of a filter worker's models: JSON over gRPC, on the worker's own socket.

Read by `archgw status` and `archgw up`. The socket lies in a folder that only the gateway's owner may enter; clients of
the gateway see /healthz alone.
"""

from __future__ import annotations

from typing import Final

import msgspec

from extproc.shared.filter_config import Place
from extproc.shared.roles import Role

# gRPC method. The request is empty, the response is a `WorkerStatus` as JSON.
METHOD: Final = "/archgw.Status/Read"


class BackendStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A role's model at one backend. `reason` is one word, empty where it is ready; `detail` is a sentence for people.

    The reason `mismatch` means that the server's model does not fit the role; `detail` shows the expected and the found
    tensors. `recent_ms` are durations of its last successful calls. `queue_ms` and `compute_ms` are the server's means
    since it started, None where it keeps no statistics.
    """

    place: Place
    model: str
    ready: bool
    reason: str = ""
    detail: str = ""
    calls: int = 0
    recent_ms: tuple[float, ...] = ()
    queue_ms: float | None = None
    compute_ms: float | None = None


class RoleStatus(msgspec.Struct, frozen=True, kw_only=True):
    """`skipped` counts skipped backends by `place:reason`, `failed` requests without any backend left by reason."""

    backends: tuple[BackendStatus, ...]
    skipped: dict[str, int] = {}
    failed: dict[str, int] = {}


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker. Counts are its own, since it started."""

    roles: dict[Role, RoleStatus]

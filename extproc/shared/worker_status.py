"""What a filter worker says of its models, to whoever runs the gateway: JSON over gRPC, on the worker's own socket.

The socket lies in a folder that only the gateway's owner may enter. `archgw status` and `archgw up` ask; clients of the
gateway see no more than /healthz.
"""

from __future__ import annotations

from typing import Final

import msgspec

from extproc.shared.filter_config import Place, Role

# gRPC method: an empty request, `WorkerStatus` as JSON for an answer.
METHOD: Final = "/archgw.Status/Read"


class BackendStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A role's model at one place. `reason` is one word, empty where it is ready; `detail` a sentence for people.

    `mismatch` as a reason means that the server's model is not what the role needs: `detail` shows expected and found.
    `recent_ms`: durations of its last calls, failed ones not. `queue_ms`, `compute_ms`: means of the server's own
    statistics since it started; None where it keeps none.
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
    """`skipped`: how often a place was passed over, by `place:reason`. `failed`: how often none was left, by reason."""

    backends: tuple[BackendStatus, ...]
    skipped: dict[str, int] = {}
    failed: dict[str, int] = {}


class WorkerStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One worker; counts are its own, since it started."""

    roles: dict[Role, RoleStatus]

"""`error_target`: the API that failures are sent on to."""

from __future__ import annotations

from controlplane.config.base_model import Section
from controlplane.config.names import Name
from controlplane.config.url_paths import Path


class ErrorTarget(Section):
    """The API that failures are sent on to; the client gets its answer."""

    endpoint: Name
    """A key of `endpoints`."""
    path: Path = "/"
    """The path of the call."""

"""`error_target`: the API that receives failed requests."""

from __future__ import annotations

from controlplane.config.base_model import Section
from controlplane.config.names import Name
from controlplane.config.url_paths import Path


class ErrorTarget(Section):
    """The API that receives failed requests. The client gets its response."""

    endpoint: Name
    """A key of `endpoints`."""
    path: Path = "/"
    """The path of the call."""

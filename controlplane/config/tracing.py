"""`tracing`: spans for an OpenTelemetry collector."""

from __future__ import annotations

from pydantic import Field

from controlplane.config.addresses import Collector, parse_collector
from controlplane.config.base_model import Section


class Tracing(Section):
    """Sends spans to an OpenTelemetry collector. Without this section there are none."""

    random_sampling: float = Field(default=100, ge=0, le=100)
    """Percentage of requests that are traced, 0 to 100."""
    collector: Collector = Field(
        default=parse_collector("http://127.0.0.1:4317"), json_schema_extra={"default": "http://127.0.0.1:4317"}
    )
    """URL of the collector: OTLP over gRPC."""

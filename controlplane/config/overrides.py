"""`overrides`: numbers that most gateways leave alone."""

from __future__ import annotations

from pydantic import Field

from controlplane.config.quantities import MIB, BodySize
from controlplane.config.section import Section


class Overrides(Section):
    """Numbers that most gateways leave alone."""

    prompt_target_intent_matching_threshold: float | None = Field(default=None, ge=0, le=1)
    """Score under which a prompt means no target. The default comes from the evaluation of the models shipped."""
    max_request_bytes: BodySize = Field(default=10 * MIB, json_schema_extra={"default": "10MiB"})
    """The largest request body; more is answered with 413."""
    filter_workers: int | None = Field(default=None, ge=1, le=64)
    """How many filter processes run. One a core by default."""

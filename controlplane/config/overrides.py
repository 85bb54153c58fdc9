"""`overrides`: numbers that most gateways leave alone."""

from __future__ import annotations

from pydantic import Field

from controlplane.config.quantities import MIB, BodySize
from controlplane.config.section import Section


class Grounding(Section):
    """Whether an argument must be supported by the conversation."""

    enabled: bool = True
    """`false`: whatever the function-calling model reads out of a conversation is sent, if its type is right."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Score under which a value is not supported. The default comes from the evaluation of the models shipped."""


class IntentWeights(Section):
    """What the two parts of a target's score count, where there is an NLI model. They add up to 1."""

    nli: float = Field(ge=0, le=1)
    """Weight of the entailment."""
    embedding: float = Field(ge=0, le=1)
    """Weight of the similarity of embeddings."""


class Overrides(Section):
    """Numbers that most gateways leave alone."""

    prompt_target_intent_matching_threshold: float | None = Field(default=None, ge=0, le=1)
    """Score under which a prompt means no target. The default comes from the evaluation of the models shipped."""
    intent_weights: IntentWeights | None = None
    """What the parts of that score count. Needs `model_serving.roles.nli`."""
    grounding: Grounding = Grounding()
    """Whether an argument must be supported by the conversation."""
    max_request_bytes: BodySize = Field(default=10 * MIB, json_schema_extra={"default": "10MiB"})
    """The largest request body; more is answered with 413."""
    max_json_values: int = Field(default=100_000, ge=1_000, le=5_000_000)
    """How many keys, strings, numbers, objects and arrays a request body may hold; more is answered with 413."""
    filter_workers: int | None = Field(default=None, ge=1, le=64)
    """How many filter processes run. One a core by default."""
    timing_header: bool = False
    """`true`: answers say in `x-arch-timing` where their time went. The access log says it always."""

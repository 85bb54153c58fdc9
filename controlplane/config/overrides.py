"""`overrides`: numbers that most gateways leave alone."""

from __future__ import annotations

from pydantic import Field

from controlplane.config.base_model import Section
from controlplane.config.quantities import KIB, MIB, SECOND, BodySize, LogSize, RoleTimeout
from extproc.shared.filter_config import Transport, UnknownModel


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


class LongTexts(Section):
    """How the guards read requests with long texts."""

    timeout: RoleTimeout = Field(default=10 * SECOND, json_schema_extra={"default": "10s"})
    """How long the guards may read one request; text that would take longer is refused with 413."""
    whole: BodySize = Field(default=8 * KIB, json_schema_extra={"default": "8KiB"})
    """A request with more text than this is not read whole: the guard `jailbreak` reads as much of what is most like an
    attack, and `share` of the rest."""
    share: float = Field(default=0.2, gt=0, le=1)
    """`1`: everything is read whole, however long."""


class Overrides(Section):
    """Numbers that most gateways leave alone."""

    prompt_target_intent_matching_threshold: float | None = Field(default=None, ge=0, le=1)
    """Score under which a prompt means no target. The default comes from the evaluation of the models shipped."""
    intent_weights: IntentWeights | None = None
    """What the parts of that score count. Needs `model_serving.roles.nli`."""
    grounding: Grounding = Grounding()
    """Whether an argument must be supported by the conversation."""
    long_texts: LongTexts = LongTexts()
    """How the guards read requests with long texts."""
    unknown_model: UnknownModel = UnknownModel.DEFAULT
    """A request whose `model` no provider has: `default` has the default provider answer it, `error` is a 400."""
    max_request_bytes: BodySize = Field(default=10 * MIB, json_schema_extra={"default": "10MiB"})
    """The largest request body; more is answered with 413."""
    max_json_values: int = Field(default=100_000, ge=1_000, le=5_000_000)
    """How many keys, strings, numbers, objects and arrays a request body may hold; more is answered with 413."""
    filter_workers: int | None = Field(default=None, ge=1, le=64)
    """How many filter processes run, besides the one that reads large bodies. One a core by default."""
    watch_answers: bool = False
    """`true`: all answers pass through the filter, which ends a stream whose provider falls silent with an error event.
    `false`: Envoy cuts it, unless the filter edits it anyway."""
    filter_transport: Transport = Transport.HTTP2
    """The server by which Envoy reaches the filter. `grpc_aio`: grpcio's, slower and the most tried."""
    timing_header: bool = False
    """`true`: answers say in `x-arch-timing` where their time went. The access log says it always."""
    stream_tool_chunks: bool = False
    """`true`: a streamed answer begins with chunks for the calls and the APIs' answers, as in 0.1. SDKs do not read
    them."""
    log_max_bytes: LogSize = Field(default=100 * MIB, json_schema_extra={"default": "100MiB"})
    """A log that has grown to this size is rotated: each file of the run directory, or of a container."""
    log_files: int = Field(default=10, ge=0, le=1000)
    """How many rotated files of each log are kept beside the current one."""

"""`overrides`: settings that most gateways do not need."""

from __future__ import annotations

from pydantic import Field

from controlplane.config.base_model import Section
from controlplane.config.quantities import KIB, MIB, SECOND, BodySize, LogSize, RoleTimeout
from extproc.shared.filter_config import Transport, UnknownModel


class Grounding(Section):
    """Checks that the conversation supports the arguments of API calls."""

    enabled: bool = True
    """`false`: all arguments of the function-calling model are sent, if their types are right."""
    threshold: float | None = Field(default=None, ge=0, le=1)
    """Score under which a value is not supported. The default comes from the evaluation of the models shipped."""


class IntentWeights(Section):
    """Weights of the two parts of a target's score, with an NLI model. They add up to 1."""

    nli: float = Field(ge=0, le=1)
    """Weight of the entailment."""
    embedding: float = Field(ge=0, le=1)
    """Weight of the similarity of embeddings."""


class LongTexts(Section):
    """Limits for guards that read long texts."""

    timeout: RoleTimeout = Field(default=10 * SECOND, json_schema_extra={"default": "10s"})
    """Time that the guards have for one request. Text that would take longer is refused with 413."""
    whole: BodySize = Field(default=8 * KIB, json_schema_extra={"default": "8KiB"})
    """A request with more text than this is read in part: the guard `jailbreak` reads this much of the text, the most
    like an attack, and `share` of the rest."""
    share: float = Field(default=0.2, gt=0, le=1)
    """Share of the remaining text that is read. `1`: all text is read."""


class Overrides(Section):
    """Settings that most gateways do not need."""

    prompt_target_intent_matching_threshold: float | None = Field(default=None, ge=0, le=1)
    """Score under which a prompt matches no target. The default comes from the evaluation of the models shipped."""
    intent_weights: IntentWeights | None = None
    """Weights of the parts of that score. Needs `model_serving.roles.nli`."""
    grounding: Grounding = Grounding()
    """Checks that the conversation supports the arguments of API calls."""
    long_texts: LongTexts = LongTexts()
    """Limits for guards that read long texts."""
    unknown_model: UnknownModel = UnknownModel.DEFAULT
    """Requests for a `model` that no provider has: `default` sends them to the default provider, `error` is a 400."""
    max_request_bytes: BodySize = Field(default=10 * MIB, json_schema_extra={"default": "10MiB"})
    """Maximum size of a request body. Larger ones are refused with 413."""
    max_json_values: int = Field(default=100_000, ge=1_000, le=5_000_000)
    """Maximum number of keys, strings, numbers, objects and arrays in a request body. More are refused with 413."""
    filter_workers: int | None = Field(default=None, ge=1, le=64)
    """Number of filter processes, besides the one for large bodies. One a core by default."""
    watch_answers: bool = False
    """`true`: all responses pass through the filter. It ends a stream with an error event when the provider falls
    silent. `false`: Envoy cuts such a stream, unless the filter edits it anyway."""
    filter_transport: Transport = Transport.HTTP2
    """The filter's gRPC server. `grpc_aio` is grpcio's: slower, and the most tested."""
    timing_header: bool = False
    """`true`: responses have the header `x-arch-timing`, with the time of each stage. The access log always has it."""
    stream_tool_chunks: bool = False
    """`true`: a streamed response begins with chunks for the calls and the API responses, as in 0.1. SDKs do not read
    them."""
    log_max_bytes: LogSize = Field(default=100 * MIB, json_schema_extra={"default": "100MiB"})
    """Size at which a log is rotated: each file of the run directory, or of a container."""
    log_files: int = Field(default=10, ge=0, le=1000)
    """Number of rotated files that are kept of each log, besides the current one."""

"""What the control plane hands to the filter: one JSON file, versioned and normalised.

The only module that both packages know. The control plane writes it with `dump`, each filter worker reads it with
`load` as it starts. No secret is ever in it: provider keys stay in Envoy's secret files.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from extproc.shared.roles import Role as Role  # noqa: PLC0414 - many modules import it from here

VERSION: Final = 4

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


class _Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values only; an unknown key means that the two packages are of different versions, so it is refused."""


class Listener(StrEnum):
    """Where a request came in."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Transport(StrEnum):
    """Which server Envoy's streams reach the filter by."""

    HTTP2 = "http2"
    GRPC_AIO = "grpc_aio"


class ParameterType(StrEnum):
    """The types that an argument may be declared with; the control plane has already resolved synonyms."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STR = "str"
    LIST = "list"
    DICT = "dict"


EnumValue = str | int | float


class Items(_Frozen, frozen=True):
    """What each element of a list is."""

    type: ParameterType
    enum: tuple[EnumValue, ...] = ()
    format: str | None = None


class Parameter(_Frozen, frozen=True):
    """One argument of a prompt target. `default` counts only where `required` is false, `items` for lists only."""

    name: str
    type: ParameterType
    description: str
    required: bool = False
    # JSON text rather than a value, so that "no default" and a default of null stay apart.
    default_json: str | None = None
    enum: tuple[EnumValue, ...] = ()
    format: str | None = None
    items: Items | None = None


class HttpMethod(StrEnum):
    GET = "GET"
    POST = "POST"


class EndpointCall(_Frozen, frozen=True):
    """How an API is called: always through Envoy's internal listener.

    `upstream` is the value of `x-arch-upstream` there. It names a route, which knows hosts, timeout, retries and the
    configured headers, secret ones too.
    """

    endpoint: str
    upstream: str
    method: HttpMethod
    path: str


class Target(_Frozen, frozen=True):
    """A prompt target: what a prompt may mean, and the API call that answers it."""

    name: str
    description: str
    call: EndpointCall
    # Prompts that mean this target; scored beside the description.
    examples: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    system_prompt: str | None = None
    # False: the API's own answer goes to the client, no LLM is asked.
    auto_llm_dispatch: bool = True


class Schema(StrEnum):
    """The request format that a provider speaks; one file in extproc/providers/ each."""

    OPENAI = "openai"
    TRITON = "triton"


class Provider(_Frozen, frozen=True):
    """An LLM provider. `cluster` is the value of `x-arch-upstream` that makes Envoy route to it."""

    name: str
    model: str
    schema: Schema
    cluster: str
    default: bool = False
    # False: the whole `metadata` object is removed from requests, since the provider refuses it.
    accepts_metadata: bool = False
    # False: messages of the role `developer` are sent as `system`.
    accepts_developer: bool = False


class UnknownModel(StrEnum):
    """What becomes of a request whose `model` no provider has, where one is the default."""

    DEFAULT = "default"
    ERROR = "error"


class FailMode(StrEnum):
    """What happens when a guard cannot give a verdict."""

    BLOCK = "block"
    ALLOW = "allow"


class GuardMode(StrEnum):
    """`SHADOW`: the verdict is logged and counted, and changes nothing."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class Guard(_Frozen, frozen=True):
    """One input guard: the model of `role` gives a probability, and from `threshold` on the prompt is blocked.

    `name` is what clients and logs read: jailbreak, toxicity. `status` None: HTTP 200 and a completion that says
    `message`; else that status and an error body.
    """

    name: str
    role: Role
    threshold: float
    message: str
    on_error: FailMode = FailMode.BLOCK
    mode: GuardMode = GuardMode.ENFORCE
    status: int | None = None
    forward_to_error_target: bool = False


class Intent(_Frozen, frozen=True):
    """How a target is chosen. Scores lie in [-1, 1]; under `threshold` no target is meant.

    A score is the cosine similarity of embeddings, or, where the role `nli` has a model, the sum of that and of the
    entailment, each times its weight.

    A call of the function model whose confidence is under `confidence` is a guess: from the score `sure` on the target
    is meant all the same and its values are asked for, below that the prompt means no target. docs/models.md says what
    each number keeps and costs.
    """

    threshold: float
    # The function model sees the best target, and so many in all whose scores are no more than `margin` behind: reading
    # one more costs it a quarter of a second.
    candidates: int = 2
    margin: float = 0.05
    confidence: float = 0.1
    sure: float = 0.4
    nli_weight: float = 0.7
    embedding_weight: float = 0.3


class Grounding(_Frozen, frozen=True):
    """Arguments that the conversation does not support count as not given. `threshold` is a score in [0, 1]."""

    threshold: float


class Place(StrEnum):
    """Where a model runs: on the gateway's own Triton, or on one that is somebody else's."""

    LOCAL = "local"
    REMOTE = "remote"


class Protocol(StrEnum):
    """How a server is spoken to: the two forms of KServe v2."""

    GRPC = "grpc"
    HTTP = "http"


class Server(_Frozen, frozen=True):
    """A server that speaks KServe v2.

    `address`: `HOST:PORT`, or `unix:PATH`. A remote server is reached through Envoy's internal listener; `upstream` is
    the value of `x-arch-upstream` that leads to it there, None where nothing stands between.
    `repair_lock`: a file whose lock makes one worker at a time load a model again that the server has lost; None where
    the server is not ours to repair.
    """

    address: str
    protocol: Protocol = Protocol.GRPC
    upstream: str | None = None
    reload_lock: str | None = None


class Backend(_Frozen, frozen=True):
    """A role's model at one place. `model` is the name that the server serves it under.

    `max_batch`: how many texts one call may carry, at most; a server whose model takes fewer is asked for fewer.
    `call_bytes`: about how many bytes of prose one call carries at most, so that nobody waits long for it.
    `calls`: how many calls one worker makes at once; `bulk_calls`: how many more for requests of `bulk_bytes` or more.
    `background`: the model computes bulk calls in threads that yield to everything else on the machine, as many at once
    as `bulk_calls`.
    """

    place: Place
    model: str
    max_batch: int = 1
    call_bytes: int = 16_384
    calls: int = 64
    bulk_calls: int = 8
    bulk_bytes: int = 16_384
    background: bool = False


class RoleBackends(_Frozen, frozen=True):
    """Where a role's model is asked: the first place is preferred, each next one stands in for those before it.

    `timeout_ms` is the deadline of one attempt.
    """

    backends: tuple[Backend, ...]
    timeout_ms: int


class Inference(_Frozen, frozen=True):
    """The roles that the gateway needs. `models_timeout_ms`: the deadline for all model calls of one request.

    `reading_ms`: how long the guards may read one request; text that takes them longer is refused beforehand.
    `whole_bytes`: of a request with more text, the guard `jailbreak` reads as much of what is most like an attack, and
    `read_share` of the rest.
    """

    servers: dict[Place, Server]
    roles: dict[Role, RoleBackends]
    models_timeout_ms: int
    reading_ms: int = 10_000
    whole_bytes: int = 8_192
    read_share: float = 0.2


class Prompting(_Frozen, frozen=True):
    """Everything that only the ingress listener needs; it asks the roles embed, nli and function."""

    intent: Intent
    grounding: Grounding | None = None
    targets: tuple[Target, ...] = ()
    default_target: Target | None = None
    system_prompt: str | None = None
    # A stream has the calls and the APIs' answers as chunks before the LLM's own, as in 0.1.
    stream_tool_chunks: bool = False


class FilterConfig(_Frozen, frozen=True):
    """One gateway. `prompting` is None where the ingress listener is off, `inference` where no model is asked."""

    version: int
    providers: tuple[Provider, ...]
    max_request_bytes: int
    # Unix socket of Envoy's internal listener, which carries every call to an endpoint.
    internal_socket: str
    unknown_model: UnknownModel = UnknownModel.DEFAULT
    # How many keys, strings, numbers, objects and arrays a request body may hold.
    max_json_values: int = 100_000
    # How long one API call may take in all, retries included; how long a whole request before the verdict on it.
    endpoint_timeout_ms: int = 30_000
    request_timeout_ms: int = 60_000
    inference: Inference | None = None
    # The guards read every request on `guarded`, all of them at once.
    guards: tuple[Guard, ...] = ()
    guarded: tuple[Listener, ...] = (Listener.INGRESS,)
    # Where failures are sent on to, if anywhere.
    error_target: EndpointCall | None = None
    prompting: Prompting | None = None
    # Whether clients read what their request cost, in `x-arch-timing`. The access log always says it.
    timing_header: bool = False
    # Whether the filter sees every answer, so that a stream whose provider falls silent ends with an error event.
    watch_answers: bool = False
    transport: Transport = Transport.HTTP2


def dump(config: FilterConfig) -> bytes:
    """The filter config as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2)


def load(path: Path) -> FilterConfig:
    """Read what `dump` wrote.

    Raises `ValueError` when the file is not a filter config of this version, `OSError` when it cannot be read.
    """
    config = msgspec.json.decode(path.read_bytes(), type=FilterConfig)
    if config.version != VERSION:
        raise ValueError(f"{path}: filter config version {config.version}, this filter reads version {VERSION}")
    return config

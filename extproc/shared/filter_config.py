"""The filter config: one JSON file, versioned and normalised, that the control plane hands to the filter.

The control plane writes it with `dump`, and each filter worker reads it with `load` as it starts. It never holds a
secret: provider keys stay in Envoy's secret files.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from extproc.shared.roles import Role
from extproc.shared.scripts import Script

VERSION: Final = 6

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


class _Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Refuses an unknown key, which means that the two packages have different versions."""


class Listener(StrEnum):
    """The Envoy listener of a request."""

    INGRESS = "ingress"
    EGRESS = "egress"


class Transport(StrEnum):
    """The server that Envoy's ext_proc streams reach the filter by."""

    HTTP2 = "http2"
    GRPC_AIO = "grpc_aio"


class ParameterType(StrEnum):
    """The declared type of an argument. The control plane has resolved synonyms."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STR = "str"
    LIST = "list"
    DICT = "dict"


EnumValue = str | int | float


class Items(_Frozen, frozen=True):
    """The element type of a list."""

    type: ParameterType
    enum: tuple[EnumValue, ...] = ()
    format: str | None = None


class Parameter(_Frozen, frozen=True):
    """One argument of a prompt target. `default_json` counts only where `required` is false, `items` for lists only."""

    name: str
    type: ParameterType
    description: str
    required: bool = False
    # JSON text: None is no default, "null" is a default of null.
    default_json: str | None = None
    enum: tuple[EnumValue, ...] = ()
    format: str | None = None
    items: Items | None = None


class HttpMethod(StrEnum):
    GET = "GET"
    POST = "POST"


class EndpointCall(_Frozen, frozen=True):
    """A call of an API through Envoy's internal listener.

    `upstream` is the value of `x-arch-upstream` there. It selects the route, which has the hosts, timeout, retries and
    configured headers, including secret ones.
    """

    endpoint: str
    upstream: str
    method: HttpMethod
    path: str


class Target(_Frozen, frozen=True):
    """A prompt target: an intent, and the API call that answers it."""

    name: str
    description: str
    call: EndpointCall
    # Example prompts, scored beside the description.
    examples: tuple[str, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    system_prompt: str | None = None
    # False: the API's response goes to the client, and no LLM is called.
    auto_llm_dispatch: bool = True


class Schema(StrEnum):
    """The request format of a provider; one file each in extproc/translators/."""

    OPENAI = "openai"
    TRITON = "triton"


class Provider(_Frozen, frozen=True):
    """An LLM provider. `cluster` is the value of `x-arch-upstream` that makes Envoy route to it."""

    name: str
    model: str
    schema: Schema
    cluster: str
    default: bool = False
    # False: the provider refuses `metadata`, and the filter removes it from requests.
    accepts_metadata: bool = False
    # False: the filter sends messages of the role `developer` as `system`.
    accepts_developer: bool = False


class UnknownModel(StrEnum):
    """The handling of a request whose `model` no provider has, where one provider is the default."""

    DEFAULT = "default"
    ERROR = "error"


class FailMode(StrEnum):
    """The handling of a prompt when a guard gives no verdict, or cannot read the prompt."""

    BLOCK = "block"
    ALLOW = "allow"


class GuardMode(StrEnum):
    """`SHADOW`: the verdict is logged and counted only."""

    ENFORCE = "enforce"
    SHADOW = "shadow"


class TextRole(StrEnum):
    """The origin of a text in a request. The guards' models get it as the input `ROLE`.

    `USER`: everything that is none of the others, also messages of an assistant, which the client sends back and may
    have forged. `TOOL`: results of tools. `DOCUMENT`: files and documents in a user's message. `SYSTEM`: system and
    developer messages. `TOOLS`: definitions of tools and of the response format.
    """

    USER = "user"
    TOOL = "tool"
    DOCUMENT = "document"
    SYSTEM = "system"
    TOOLS = "tools"

    # Texts are looked up by role and string many times a request, and the hash of an Enum is slow Python code.
    __hash__ = str.__hash__


class Guard(_Frozen, frozen=True):
    """One input guard: blocks a prompt for which the model of `role` gives a probability of `threshold` or more.

    It judges the texts whose roles are in `scope`. The model gets texts of the roles `read_as_user` as a user's, since
    anybody can claim these roles on this listener. With `on_unreadable: block`, it also blocks texts in scripts that
    its model cannot read.

    `name` is the name in logs and for clients: jailbreak, toxicity. With a `status`, a blocked client gets that status
    and an error body; without, HTTP 200 and a completion with `message`.
    """

    name: str
    role: Role
    threshold: float
    message: str
    on_error: FailMode = FailMode.BLOCK
    mode: GuardMode = GuardMode.ENFORCE
    scope: tuple[TextRole, ...] = tuple(TextRole)
    read_as_user: tuple[TextRole, ...] = ()
    on_unreadable: FailMode = FailMode.ALLOW
    status: int | None = None
    forward_to_error_target: bool = False


class Intent(_Frozen, frozen=True):
    """The selection of a prompt target. Under the score `threshold` a target does not match.

    A score is the centred cosine of embeddings (0 is usual for unrelated texts), or, where the role `nli` has a model,
    the weighted sum of that and of the entailment.

    A call of the function model whose confidence is under `confidence` is a guess. With a score of `sure` or more the
    target still matches, and the gateway asks for its values; below that the prompt matches no target. docs/models.md
    has the effect of each number.
    """

    threshold: float
    # The function model sees the best target, and so many in all whose scores are at most `margin` behind. Reading one
    # more costs it a quarter of a second.
    candidates: int = 2
    margin: float = 0.05
    confidence: float = 0.1
    sure: float = 0.36
    nli_weight: float = 0.7
    embedding_weight: float = 0.3


class Grounding(_Frozen, frozen=True):
    """Arguments without support in the conversation count as missing. `threshold` is a score in [0, 1]."""

    threshold: float


class Place(StrEnum):
    """The server of a model: the gateway's own Triton, or a Triton that others run."""

    LOCAL = "local"
    REMOTE = "remote"


class Protocol(StrEnum):
    """The two protocols of KServe v2."""

    GRPC = "grpc"
    HTTP = "http"


class Server(_Frozen, frozen=True):
    """A server that speaks KServe v2.

    `address` is `HOST:PORT` or `unix:PATH`. A remote server is reached through Envoy's internal listener, where
    `upstream` is the value of `x-arch-upstream`; None for a direct connection.
    `reload_lock` is a file. The worker that holds its lock reloads a model that the server has lost; None where the
    server is not ours.
    """

    address: str
    protocol: Protocol = Protocol.GRPC
    upstream: str | None = None
    reload_lock: str | None = None


class Backend(_Frozen, frozen=True):
    """A role's model at one place. `model` is its name on the server.

    `max_batch`: the most texts of one call; the server's own limit counts where it is lower.
    `call_bytes`: about the most bytes of prose of one call, so that no other client waits long for it.
    `calls`: the concurrent calls of one worker. `bulk_calls`: as many more for requests of `bulk_bytes` or more.
    `background`: the model computes bulk calls in `bulk_calls` threads of low priority.
    `scripts`: those that a guard's model reads; empty: all.
    """

    place: Place
    model: str
    max_batch: int = 1
    call_bytes: int = 16_384
    calls: int = 64
    bulk_calls: int = 8
    bulk_bytes: int = 16_384
    background: bool = False
    scripts: tuple[Script, ...] = ()


class RoleBackends(_Frozen, frozen=True):
    """The backends of a role in order of preference; each is the fallback of those before it.

    `timeout_ms` limits one attempt.
    """

    backends: tuple[Backend, ...]
    timeout_ms: int


class Inference(_Frozen, frozen=True):
    """The roles that the gateway calls. `models_timeout_ms`: the deadline for all model calls of one request.

    `reading_ms`: the time that the guards may read one request. A text that takes longer is refused beforehand.
    `whole_bytes`: of a request with more text, the guard `jailbreak` reads so many bytes of the most suspicious text,
    and `read_share` of the rest.
    """

    servers: dict[Place, Server]
    roles: dict[Role, RoleBackends]
    models_timeout_ms: int
    reading_ms: int = 10_000
    whole_bytes: int = 8_192
    read_share: float = 0.2


class Prompting(_Frozen, frozen=True):
    """The settings of the ingress listener alone, which calls the roles embed, nli and function."""

    intent: Intent
    grounding: Grounding | None = None
    targets: tuple[Target, ...] = ()
    default_target: Target | None = None
    system_prompt: str | None = None
    # True: a stream starts with chunks of the tool calls and the APIs' responses, as in 0.1.
    stream_tool_chunks: bool = False


class FilterConfig(_Frozen, frozen=True):
    """One gateway. `prompting` is None where the ingress listener is off, `inference` where no model is called."""

    version: int
    providers: tuple[Provider, ...]
    max_request_bytes: int
    # Unix socket of Envoy's internal listener, which carries every call to an endpoint.
    internal_socket: str
    unknown_model: UnknownModel = UnknownModel.DEFAULT
    # The most keys, strings, numbers, objects and arrays of a request body.
    max_json_values: int = 100_000
    # The deadlines of one API call with its retries, and of a whole request until its verdict.
    endpoint_timeout_ms: int = 30_000
    request_timeout_ms: int = 60_000
    inference: Inference | None = None
    # The guards of each guarded listener. They read every request, concurrently.
    guards: dict[Listener, tuple[Guard, ...]] = {}
    # Failures are forwarded to it.
    error_target: EndpointCall | None = None
    prompting: Prompting | None = None
    # True: clients get the timing of their request in `x-arch-timing`. The access log always has it.
    timing_header: bool = False
    # True: the filter sees every response, so that a stream whose provider falls silent ends with an error event.
    watch_answers: bool = False
    transport: Transport = Transport.HTTP2


def dump(config: FilterConfig) -> bytes:
    """Returns the filter config as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(config), indent=2)


def load(path: Path) -> FilterConfig:
    """Reads a file that `dump` wrote.

    Raises `ValueError` for a file that is not a filter config of this version, `OSError` for an unreadable one.
    """
    config = msgspec.json.decode(path.read_bytes(), type=FilterConfig)
    if config.version != VERSION:
        raise ValueError(f"{path}: filter config version {config.version}, this filter reads version {VERSION}")
    return config

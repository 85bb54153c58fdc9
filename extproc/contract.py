"""What the control plane hands to the filter: one JSON file, versioned and normalised.

The only module that both packages know. The control plane writes it with `dump`, each filter worker reads it with
`load` as it starts. No secret is ever in it: provider keys stay in Envoy's secret files.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

VERSION: Final = 1

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


class _Frozen(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Values only; an unknown key means that the two packages are of different versions, so it is refused."""


class ParameterType(StrEnum):
    """The types that an argument may be declared with; the control plane has already resolved synonyms."""

    INT = "int"
    FLOAT = "float"
    BOOL = "bool"
    STR = "str"
    LIST = "list"
    DICT = "dict"


class Parameter(_Frozen, frozen=True):
    """One argument of a prompt target. `default` counts only where `required` is false."""

    name: str
    type: ParameterType
    description: str
    required: bool = False
    # JSON text rather than a value, so that "no default" and a default of null stay apart.
    default_json: str | None = None
    enum: tuple[str, ...] = ()
    format: str | None = None


class HttpMethod(StrEnum):
    GET = "GET"
    POST = "POST"


class EndpointCall(_Frozen, frozen=True):
    """How a target's API is called: always through Envoy's internal listener, which routes by `cluster`."""

    endpoint: str
    cluster: str
    method: HttpMethod
    path: str


class Target(_Frozen, frozen=True):
    """A prompt target: what a prompt may mean, and the API call that answers it."""

    name: str
    description: str
    call: EndpointCall
    parameters: tuple[Parameter, ...] = ()
    system_prompt: str | None = None
    # False: the API's own answer goes to the client, no LLM is asked.
    auto_llm_dispatch: bool = True


class Wire(StrEnum):
    """The request format that a provider speaks; one file in extproc/providers/ each."""

    OPENAI = "openai"
    TRITON = "triton"


class Provider(_Frozen, frozen=True):
    """An LLM provider. `cluster` is the value of `x-arch-upstream` that makes Envoy route to it."""

    name: str
    model: str
    wire: Wire
    cluster: str
    default: bool = False
    # False: the whole `metadata` object is removed from requests, since the provider refuses it.
    accepts_metadata: bool = False


class FailMode(StrEnum):
    """What happens when a guard cannot give a verdict."""

    BLOCK = "block"
    ALLOW = "allow"


class Jailbreak(_Frozen, frozen=True):
    """The input guard against jailbreaks. Over `threshold` the prompt is blocked.

    `status` None: HTTP 200 and a completion that says `message`; else that status and an error body.
    """

    threshold: float
    on_error: FailMode
    message: str
    status: int | None = None


class Intent(_Frozen, frozen=True):
    """How a target is chosen. Scores are cosine similarities in [-1, 1]; under `threshold` no target is meant.

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


class Model(_Frozen, frozen=True):
    """One role of the pipeline as Triton serves it. `timeout_ms` is the deadline of one call."""

    name: str
    timeout_ms: int


class Role(StrEnum):
    """What the gateway asks of a model."""

    EMBED = "embed"
    GUARD = "guard"
    FUNCTION = "function"
    CHAT = "chat"


class Inference(_Frozen, frozen=True):
    """The models that must answer, by role, on the Triton whose gRPC service is at `url`, `host:port`.

    `repair_lock`: a file whose lock makes one worker at a time reload a model whose process died; None where the
    Triton is not ours to repair.
    """

    url: str
    models: dict[Role, Model]
    repair_lock: str | None = None


class Prompting(_Frozen, frozen=True):
    """Everything that only the ingress listener needs; it asks the roles embed, guard and function."""

    intent: Intent
    jailbreak: Jailbreak | None = None
    targets: tuple[Target, ...] = ()
    default_target: Target | None = None
    system_prompt: str | None = None


class FilterContract(_Frozen, frozen=True):
    """One gateway. `prompting` is None where the ingress listener is off, `inference` where no model is asked."""

    version: int
    providers: tuple[Provider, ...]
    max_request_bytes: int
    # Unix socket of Envoy's internal listener, which carries every call to an endpoint.
    internal_socket: str
    # How long one API call may take in all, and one whole request before the filter gives its verdict.
    endpoint_timeout_ms: int = 30_000
    request_timeout_ms: int = 60_000
    inference: Inference | None = None
    prompting: Prompting | None = None


def dump(contract: FilterContract) -> bytes:
    """The contract as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(contract), indent=2)


def load(path: Path) -> FilterContract:
    """Read what `dump` wrote.

    Raises `ValueError` when the file is not a contract of this version, `OSError` when it cannot be read.
    """
    contract = msgspec.json.decode(path.read_bytes(), type=FilterContract)
    if contract.version != VERSION:
        raise ValueError(f"{path}: contract version {contract.version}, this filter reads version {VERSION}")
    return contract

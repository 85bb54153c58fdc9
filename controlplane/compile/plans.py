"""What compilation makes of a configuration: plain values that rendering turns into text and the runtime runs.

ArchConfig -> (FilterContract, EnvoyPlan, ModelPlan). No file paths, no secrets' values beyond `Credential.value`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from extproc.contract import FilterContract


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Upstream:
    """One Envoy cluster. More than one address is balanced. `tls_server_name` None: plain HTTP."""

    cluster: str
    addresses: tuple[Address, ...]
    connect_timeout_ms: int
    tls_server_name: str | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A provider's key and the request header it travels in. Its value reaches one file of mode 0600, nothing else."""

    secret_name: str
    header: str
    prefix: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderRoute:
    """How Envoy reaches one LLM provider. Requests carry `x-arch-upstream: <upstream.cluster>`.

    `path_prefix` replaces the client's `/v1`; None where the filter sets the whole path (a provider of another wire).
    `idle_timeout_ms`: how long the provider may stay silent, before its first byte and between any two.
    """

    name: str
    upstream: Upstream
    authority: str
    path_prefix: str | None
    credential: Credential | None
    passthrough_auth: bool
    idle_timeout_ms: int


@dataclass(frozen=True, slots=True)
class EndpointRoute:
    """How Envoy's internal listener reaches one endpoint. Requests carry `x-arch-upstream: <upstream.cluster>`."""

    name: str
    upstream: Upstream
    authority: str
    timeout_ms: int


@dataclass(frozen=True, slots=True)
class Listener:
    """A public listener. Its name is `ingress` or `egress`, which is also what the filter is told."""

    name: str
    address: Address


@dataclass(frozen=True, slots=True)
class Tracing:
    """Spans to an OTLP gRPC collector. `random_sampling` is a percentage, 0 to 100."""

    collector: Upstream
    random_sampling: float


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    """All that Envoy's configuration says, apart from where files and sockets lie."""

    listeners: tuple[Listener, ...]
    providers: tuple[ProviderRoute, ...]
    endpoints: tuple[EndpointRoute, ...]
    workers: int
    max_request_bytes: int
    tracing: Tracing | None = None


@dataclass(frozen=True, slots=True)
class TritonPorts:
    """Triton's ports on 127.0.0.1."""

    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True, slots=True)
class ModelInstance:
    """One model in Triton's repository: `triton_models/<role>/` served under `name`."""

    role: str
    name: str
    instances: int
    max_batch_size: int
    max_queue_delay_us: int
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What Triton serves."""

    ports: TritonPorts
    models: tuple[ModelInstance, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """What compilation must know about the place where the gateway will run.

    `workers`: filter processes where the file does not say, one a core. `internal_socket` and `repair_lock` are paths
    that the filter opens.
    """

    triton: TritonPorts
    workers: int
    internal_socket: str
    repair_lock: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """One compiled gateway: what the filter reads, what Envoy is configured with, what Triton serves."""

    contract: FilterContract
    envoy: EnvoyPlan
    models: ModelPlan

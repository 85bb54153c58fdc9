"""The results of compilation. Rendering turns these values into text, and the runtime starts them.

ArchConfig -> (FilterConfig, EnvoyPlan, ModelPlan). No file paths; only `Credential.value` holds secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from controlplane.config.model_serving import Mode
from controlplane.config.quantities import MIB
from controlplane.models.custom_model import CustomModel
from extproc.shared.filter_config import FilterConfig, Place

# Envoy's heap limit if the machine's memory is unknown: enough for a thousand streams.
DEFAULT_HEAP: Final = 512 * MIB


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Pipe:
    """A unix socket. `path`: as Envoy opens it."""

    path: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """One Envoy cluster. Several addresses are load-balanced. `tls_server_name` None: plain HTTP.

    `local_names`: only the hosts file or the container network resolves the names. Their addresses change with each
    container.
    """

    cluster: str
    addresses: tuple[Address | Pipe, ...]
    connect_timeout_ms: int
    tls_server_name: str | None = None
    local_names: bool = False


@dataclass(frozen=True, slots=True)
class RemoteTriton:
    """The remote Triton, as Envoy reaches it. Calls carry `x-arch-upstream: <upstream.cluster>`.

    `grpc`: HTTP/2, with or without TLS. `path_prefix`: before the paths of KServe over HTTP. `ca`, `cert`, `key` are
    absolute paths; None: this machine's CA certificates, no client certificate.
    """

    upstream: Upstream
    authority: str
    grpc: bool
    path_prefix: str = ""
    credential: Credential | None = None
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret and its request header. The value is written to one file of mode 0600, nowhere else."""

    secret_name: str
    header: str
    prefix: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderRoute:
    """One LLM provider, as Envoy reaches it. Requests carry `x-arch-upstream: <upstream.cluster>`.

    `path_prefix` replaces the client's `/v1`; None: the filter sets the whole path (a provider of another schema).
    `idle_timeout_ms`: maximum silence of the provider, before its first byte and between two bytes.
    `headers`: request and response headers of its API beyond OpenAI's. One that ends in `*` is a prefix.
    """

    name: str
    upstream: Upstream
    authority: str
    path_prefix: str | None
    credential: Credential | None
    passthrough_auth: bool
    idle_timeout_ms: int
    headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiCluster:
    """The hosts of an endpoint. `headers` are secret, and are added to every request."""

    upstream: Upstream
    headers: tuple[Credential, ...] = ()


@dataclass(frozen=True, slots=True)
class CallRoute:
    """The route of one prompt target's calls on Envoy's internal listener. They carry `x-arch-upstream: <name>`.

    `attempt_ms`: timeout of one attempt. `timeout_ms`: of all attempts. `retries`: maximum number of retries of a call
    that the API may have seen. `path`: path template for the access log, since the path of a call contains arguments.
    """

    name: str
    cluster: str
    authority: str
    attempt_ms: int
    timeout_ms: int
    retries: int = 0
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Listener:
    """A public listener. Its name is `ingress` or `egress`; the filter gets the same name.

    `address`: the file's address. `localhost` and `::` stand for several addresses. `bind`: the addresses that Envoy
    listens on. In a container, `bind` is an inner address, which the engine publishes at each of `published`.
    `hosts` and `origins`: regular expressions of the accepted `Host` and `Origin` headers. Without `hosts`, all hosts
    are accepted. Without `origins`, requests with an `Origin` header are refused.
    """

    name: str
    address: Address
    bind: tuple[Address, ...]
    published: tuple[Address, ...] = ()
    hosts: str | None = None
    origins: str | None = None


@dataclass(frozen=True, slots=True)
class Tracing:
    """Export of spans to an OTLP gRPC collector. `random_sampling` is a percentage, 0 to 100."""

    collector: Upstream
    random_sampling: float


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    """Envoy's configuration without the paths of files and sockets.

    `workers`: number of filter processes for ordinary requests. One more is for large bodies: `large_worker`.
    """

    listeners: tuple[Listener, ...]
    providers: tuple[ProviderRoute, ...]
    apis: tuple[ApiCluster, ...]
    calls: tuple[CallRoute, ...]
    workers: int
    max_request_bytes: int
    tracing: Tracing | None = None
    remote: RemoteTriton | None = None
    timing_header: bool = False
    max_heap_bytes: int = DEFAULT_HEAP

    @property
    def credentials(self) -> tuple[Credential, ...]:
        """All secrets that are sent in headers."""
        senders = (*self.providers, self.remote)
        keys = (sender.credential for sender in senders if sender is not None and sender.credential is not None)
        return (*keys, *(header for api in self.apis for header in api.headers))

    @property
    def large_worker(self) -> int:
        """Index of the filter process for large bodies."""
        return self.workers

    @property
    def worker_indices(self) -> range:
        """Indices of all filter processes."""
        return range(self.workers + 1)


@dataclass(frozen=True, slots=True)
class TritonSockets:
    """Paths of the unix sockets of the gateway's own Triton, as Envoy (`http`) and the filter (`grpc`) open them.

    It has no TCP port: Triton has no authentication, and loading a model means running code as the gateway's user.
    """

    http: str
    grpc: str


class Device(StrEnum):
    """The device of a local model."""

    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, slots=True)
class ModelInstance:
    """One model in Triton's repository: the role's code in `triton_models/`, served under `name`.

    `artefact`: the catalogue entry whose files it reads; None: the role's default entries.
    `max_batch_size`: maximum number of texts in one request; 0: no batches.
    `max_queue_delay_us`: maximum time that Triton holds a request back to batch it; None: no batches across requests.
    `behind`: name of a model of Triton's vLLM backend that this one calls, served with it.
    `background`: threads of each instance that compute long texts at low priority; 0: all texts have one priority.
    """

    role: str
    name: str
    instances: int
    max_batch_size: int
    artefact: str | None = None
    device: Device = Device.CPU
    threads: int = 1
    max_queue_delay_us: int | None = None
    behind: str | None = None
    background: int = 0
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """The models of the gateway's own Triton. Without models it is not started."""

    models: tuple[ModelInstance, ...]
    custom: tuple[CustomModel, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all models that Triton serves."""
        behind = (model.behind for model in self.models if model.behind is not None)
        return (*behind, *(model.name for model in self.models), *(model.name for model in self.custom))


@dataclass(frozen=True, slots=True)
class Loopback:
    """Addresses that replace `localhost` in containers: the service with the same port, else `host`."""

    host: str
    services: Mapping[int, Address] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetEnvironment:
    """The environment that the gateway will run in.

    `workers`: default number of filter processes, one per core.
    `internal_socket`, `reload_lock`: paths that the filter opens.
    `gpu`: name of a usable GPU, or None. `vllm`: the local Triton has the vLLM backend.
    `max_heap_bytes`: Envoy's heap limit. Near it, Envoy refuses work.
    `ipv6`: this machine has the loopback address `::1`.
    `loopback`: for containers; None: `localhost` is this machine.
    `listen_addresses`: addresses that Envoy listens on, by listener name; None: the listeners' own addresses.
    """

    triton: TritonSockets
    workers: int
    internal_socket: str
    reload_lock: str
    mode: Mode = Mode.LOCAL_CPU
    gpu: str | None = None
    vllm: bool = False
    loopback: Loopback | None = None
    max_heap_bytes: int = DEFAULT_HEAP
    ipv6: bool = True
    listen_addresses: Mapping[str, Address] | None = None


@dataclass(frozen=True, slots=True)
class RoleLocation:
    """Location of a role's model, for messages and status. `where`: "CPU", the GPU's name, or the remote URL."""

    role: str
    place: Place
    model: str
    where: str


@dataclass(frozen=True, slots=True)
class LogPlan:
    """Each log is rotated at `max_bytes`. `files` rotated ones are kept."""

    max_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """One compiled gateway: the plans for the filter, Envoy and Triton.

    `loopback_keys`: keys whose `localhost` was replaced by the containers' host, with their values. Only for messages.
    """

    filter_config: FilterConfig
    envoy: EnvoyPlan
    models: ModelPlan
    logs: LogPlan
    places: tuple[RoleLocation, ...] = ()
    loopback_keys: tuple[str, ...] = ()

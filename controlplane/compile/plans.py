"""What compilation makes of a configuration: plain values that rendering turns into text and the runtime runs.

ArchConfig -> (FilterConfig, EnvoyPlan, ModelPlan). No file paths, no secrets' values beyond `Credential.value`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from extproc.shared.filter_config import FilterConfig, Place

MIB: Final = 1 << 20
# Enough for a thousand streams, where nobody knows the machine.
DEFAULT_HEAP: Final = 512 * MIB


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or IP address, and a port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Pipe:
    """A unix socket, by its path as Envoy sees it."""

    path: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """One Envoy cluster. More than one address is balanced. `tls_server_name` None: plain HTTP.

    `local_names`: names that only the hosts file and the network of the containers know. Whom they mean changes with
    every container.
    """

    cluster: str
    addresses: tuple[Address | Pipe, ...]
    connect_timeout_ms: int
    tls_server_name: str | None = None
    local_names: bool = False


@dataclass(frozen=True, slots=True)
class RemoteTriton:
    """How Envoy reaches the Triton that is not ours. Calls carry `x-arch-upstream: <upstream.cluster>`.

    `grpc`: HTTP/2 whether or not there is TLS. `path_prefix` stands before the paths of KServe's HTTP form. `ca`,
    `cert`, `key` are absolute paths; None: this machine's authorities, no client certificate.
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
    """A secret and the request header it travels in. Its value reaches one file of mode 0600, nothing else."""

    secret_name: str
    header: str
    prefix: str
    value: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProviderRoute:
    """How Envoy reaches one LLM provider. Requests carry `x-arch-upstream: <upstream.cluster>`.

    `path_prefix` replaces the client's `/v1`; None where the filter sets the whole path (a provider of another wire).
    `idle_timeout_ms`: how long the provider may stay silent, before its first byte and between any two.
    `headers`: those of its API beyond OpenAI's, both ways; one that ends in `*` is a prefix.
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
    """The hosts of an endpoint. `headers` go into every request to them, and are secrets."""

    upstream: Upstream
    headers: tuple[Credential, ...] = ()


@dataclass(frozen=True, slots=True)
class CallRoute:
    """How Envoy's internal listener makes the calls of one prompt target. They carry `x-arch-upstream: <name>`.

    `attempt_ms` is how long one attempt may take, `timeout_ms` how long all of them. `retries`: how often a call is
    repeated that the API may have seen. `path`: the template, for the access log; a call's own path holds arguments.
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
    """A public listener. Its name is `ingress` or `egress`, which is also what the filter is told.

    `address` is what the file says, which may stand for several: `localhost` and `::`. `bind` is where Envoy listens.
    In a container that is another address, and the engine publishes it at each of `published`.
    `hosts` and `origins` are regular expressions of the `Host` and `Origin` headers that are answered. Without `hosts`
    every host is; without `origins` no request with an origin is.
    """

    name: str
    address: Address
    bind: tuple[Address, ...]
    published: tuple[Address, ...] = ()
    hosts: str | None = None
    origins: str | None = None


@dataclass(frozen=True, slots=True)
class Tracing:
    """Spans to an OTLP gRPC collector. `random_sampling` is a percentage, 0 to 100."""

    collector: Upstream
    random_sampling: float


@dataclass(frozen=True, slots=True)
class EnvoyPlan:
    """All that Envoy's configuration says, apart from where files and sockets lie.

    `workers`: filter processes for ordinary requests. One more reads large bodies: `large_worker` is its index.
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
        """Every secret that goes into a header."""
        senders = (*self.providers, self.remote)
        keys = (sender.credential for sender in senders if sender is not None and sender.credential is not None)
        return (*keys, *(header for api in self.apis for header in api.headers))

    @property
    def large_worker(self) -> int:
        return self.workers

    @property
    def worker_indices(self) -> range:
        """Of all filter processes."""
        return range(self.workers + 1)


@dataclass(frozen=True, slots=True)
class TritonSockets:
    """Paths of the unix sockets of the gateway's own Triton, as Envoy (`http`) and the filter (`grpc`) open them.

    It has no TCP port: whoever can load a model runs code as the gateway's user, and Triton asks nobody who they are.
    """

    http: str
    grpc: str


class Device(StrEnum):
    """What a local model computes on."""

    CPU = "cpu"
    GPU = "gpu"


@dataclass(frozen=True, slots=True)
class ModelInstance:
    """One model in Triton's repository: the role's code in `triton_models/`, served under `name`.

    `artefact`: the catalogue's entry whose files it reads; None: the role's own ones. `max_batch_size`: how many texts
    one request may carry; 0 for a model that takes no batches. `max_queue_delay_us`: how long Triton may hold a request
    back for others to be computed with it; None: every request by itself. `behind`: the name of a model of Triton's
    vLLM backend that this one asks, served with it. `background`: threads of each instance that compute long texts
    behind everything else on the machine; 0: those are computed like all others.
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
class OwnModel:
    """A model of the user's own, served as it lies in `folder`. `max_batch`: how many texts one request may carry.

    `entries` are the paths in the folder, down to what lies in each version; `entry_points` those of them that Triton
    imports. `on_gpu`: it asks for one.
    """

    role: str
    name: str
    folder: Path
    max_batch: int
    entries: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    on_gpu: bool = False


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """What the gateway's own Triton serves. Without a model it is not started."""

    models: tuple[ModelInstance, ...]
    own: tuple[OwnModel, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What Triton serves."""
        behind = (model.behind for model in self.models if model.behind is not None)
        return (*behind, *(model.name for model in self.models), *(model.name for model in self.own))


class Mode(StrEnum):
    """What the command line says of where models run; `model_serving.roles` may say otherwise of one role."""

    LOCAL_CPU = "local-cpu"
    LOCAL_GPU = "local-gpu"
    REMOTE = "remote"


@dataclass(frozen=True, slots=True)
class Loopback:
    """How containers reach what the file calls `localhost`: at `host`, or at one of `services`, by its port."""

    host: str
    services: Mapping[int, Address] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetEnvironment:
    """What compilation must know about the place where the gateway will run.

    `workers`: filter processes where the file does not say, one a core. `internal_socket` and `repair_lock` are paths
    that the filter opens. `gpu`: the name of a usable one, None where there is none. `vllm`: whether the Triton here
    has that backend.
    `max_heap_bytes`: of Envoy, which takes no more work as it comes near.
    `ipv6`: whether this machine has the loopback address `::1`.
    `loopback`: for containers; None where `localhost` is this machine. `listen_addresses`: where Envoy listens, by
    listener name; None: at the listener's own address.
    """

    triton: TritonSockets
    workers: int
    internal_socket: str
    repair_lock: str
    mode: Mode = Mode.LOCAL_CPU
    gpu: str | None = None
    vllm: bool = False
    loopback: Loopback | None = None
    max_heap_bytes: int = DEFAULT_HEAP
    ipv6: bool = True
    listen_addresses: Mapping[str, Address] | None = None


@dataclass(frozen=True, slots=True)
class RolePlace:
    """Where a role's model runs, for people: `where` is "CPU", the GPU's name, or the remote URL."""

    role: str
    place: Place
    model: str
    where: str


@dataclass(frozen=True, slots=True)
class LogPlan:
    """Each log is rotated at `max_bytes`; `files` old ones are kept beside it."""

    max_bytes: int
    files: int


@dataclass(frozen=True, slots=True)
class Gateway:
    """One compiled gateway: what the filter reads, what Envoy is configured with, what Triton serves.

    `elsewhere`: the keys whose `localhost` became the machine around the containers, with what they say, for people.
    """

    filter_config: FilterConfig
    envoy: EnvoyPlan
    models: ModelPlan
    logs: LogPlan
    places: tuple[RolePlace, ...] = ()
    elsewhere: tuple[str, ...] = ()

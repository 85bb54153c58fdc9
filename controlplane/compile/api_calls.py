"""How the APIs behind prompt targets are called: what the filter is told, and Envoy's clusters and routes for it.

Each target, the default one and the error target have a route of their own on the internal listener, since each may
have its own timeout, retries and headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controlplane.compile.plans import Address, ApiCluster, CallRoute, Credential, Upstream
from controlplane.config.addresses import authority
from controlplane.config.arch_config import ArchConfig
from controlplane.config.endpoints import Endpoint, Protocol
from controlplane.config.error_target import ErrorTarget
from controlplane.config.prompt_targets import PromptTarget
from extproc.shared import filter_config

# No prompt target's upstream: theirs begin with "target_".
ERROR_TARGET: Final = "error_target"
# The longest that Envoy waits before it repeats a call; its routes say the same.
BACKOFF_MS: Final = 250


@dataclass(frozen=True, slots=True)
class Calls:
    """Every call that a gateway may make."""

    apis: tuple[ApiCluster, ...]
    routes: tuple[CallRoute, ...]


def target_call(target: PromptTarget) -> filter_config.EndpointCall:
    return filter_config.EndpointCall(
        endpoint=target.endpoint.name,
        upstream=_upstream(target),
        method=target.endpoint.http_method,
        path=target.endpoint.path,
    )


def error_call(target: ErrorTarget) -> filter_config.EndpointCall:
    return filter_config.EndpointCall(
        endpoint=target.endpoint, upstream=ERROR_TARGET, method=filter_config.HttpMethod.POST, path=target.path
    )


def compile_calls(config: ArchConfig) -> Calls:
    """The clusters of all endpoints, of the targets that send headers, and a route for each call."""
    shared = {name: _upstream_of(endpoint, f"endpoint_{name}") for name, endpoint in config.endpoints.items()}
    return Calls(
        apis=(*(ApiCluster(upstream) for upstream in shared.values()), *_own_clusters(config)),
        routes=tuple(_routes(config)),
    )


def longest_call_ms(config: ArchConfig) -> int:
    """How long the slowest call of a prompt target may take in all."""
    return max((route.timeout_ms for route in _routes(config) if route.name != ERROR_TARGET), default=0)


def error_call_ms(config: ArchConfig) -> int:
    """How long the call of the error target may take."""
    return next((route.timeout_ms for route in _routes(config) if route.name == ERROR_TARGET), 0)


def _upstream(target: PromptTarget) -> str:
    return f"target_{target.name}"


def _own_clusters(config: ArchConfig) -> Iterator[ApiCluster]:
    """Headers go in where a connection's requests are written, so a target with headers has connections of its own."""
    for target in config.prompt_targets:
        if target.endpoint.http_headers:
            name = _upstream(target)
            headers = tuple(
                # No name of a target holds a colon, so no two secrets share a name.
                Credential(f"{name}:{header.lower()}", header.lower(), prefix="", value=value.get_secret_value())
                for header, value in target.endpoint.http_headers.items()
            )
            yield ApiCluster(_upstream_of(config.endpoints[target.endpoint.name], name), headers)


def _routes(config: ArchConfig) -> Iterator[CallRoute]:
    for target in config.prompt_targets:
        endpoint, call = config.endpoints[target.endpoint.name], target.endpoint
        attempt = call.timeout or endpoint.timeout
        yield CallRoute(
            name=_upstream(target),
            cluster=_upstream(target) if call.http_headers else f"endpoint_{call.name}",
            authority=_authority(endpoint),
            attempt_ms=attempt,
            timeout_ms=attempt * (call.retries + 1) + BACKOFF_MS * call.retries,
            retries=call.retries,
            path=_template(call.path),
        )
    if config.error_target is not None:
        name = config.error_target.endpoint
        endpoint = config.endpoints[name]
        yield CallRoute(
            ERROR_TARGET,
            f"endpoint_{name}",
            _authority(endpoint),
            endpoint.timeout,
            timeout_ms=endpoint.timeout,
            path=_template(config.error_target.path),
        )


def _template(path: str) -> str:
    return path.partition("?")[0]


def addresses(endpoint: Endpoint) -> tuple[Address, ...]:
    """Its hosts as the file writes them, each with its port."""
    default = 443 if endpoint.protocol is Protocol.HTTPS else 80
    return tuple(Address(host.host, host.port or default) for host in endpoint.endpoint)


def _upstream_of(endpoint: Endpoint, cluster: str) -> Upstream:
    hosts = addresses(endpoint)
    return Upstream(
        cluster=cluster,
        addresses=hosts,
        connect_timeout_ms=endpoint.connect_timeout,
        tls_server_name=hosts[0].host if endpoint.protocol is Protocol.HTTPS else None,
    )


def _authority(endpoint: Endpoint) -> str:
    """Hosts of one list serve the same API: they are all called by the first one's name."""
    first = addresses(endpoint)[0]
    return authority(first.host, first.port, secure=endpoint.protocol is Protocol.HTTPS)

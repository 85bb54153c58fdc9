"""Compiles the API calls of prompt targets: calls for the filter configuration, clusters and routes for Envoy.

Each target, the default target and the error target have their own route on the internal listener, since each may have
its own timeout, retries and headers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from controlplane.compile.plans import Address, ApiCluster, CallRoute, Credential, Upstream
from controlplane.config.addresses import authority, default_port
from controlplane.config.arch_config import ArchConfig
from controlplane.config.endpoints import Endpoint, Protocol
from controlplane.config.error_target import ErrorTarget
from controlplane.config.prompt_targets import PromptTarget
from extproc.shared import filter_config

# Name of the error target's upstream. Those of prompt targets begin with "target_", so names cannot clash.
ERROR_TARGET: Final = "error_target"
# Maximum time that Envoy waits before a retry. Its routes set the same value.
BACKOFF_MS: Final = 250


@dataclass(frozen=True, slots=True)
class Calls:
    """Clusters and routes of all API calls."""

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
    """Returns a cluster for each endpoint and for each target with headers, and a route for each call."""
    shared = {name: _upstream_of(endpoint, f"endpoint_{name}") for name, endpoint in config.endpoints.items()}
    return Calls(
        apis=(*(ApiCluster(upstream) for upstream in shared.values()), *_own_clusters(config)),
        routes=tuple(_routes(config)),
    )


def longest_call_ms(config: ArchConfig) -> int:
    """Returns the longest timeout of a prompt target's call, retries included, in milliseconds."""
    return max((route.timeout_ms for route in _routes(config) if route.name != ERROR_TARGET), default=0)


def error_call_ms(config: ArchConfig) -> int:
    """Returns the timeout of the error target's call, in milliseconds."""
    return next((route.timeout_ms for route in _routes(config) if route.name == ERROR_TARGET), 0)


def _upstream(target: PromptTarget) -> str:
    return f"target_{target.name}"


def _own_clusters(config: ArchConfig) -> Iterator[ApiCluster]:
    """Yields a cluster for each target with headers: Envoy adds them per cluster."""
    for target in config.prompt_targets:
        if target.endpoint.http_headers:
            name = _upstream(target)
            headers = tuple(
                # Names of targets contain no colon, so the names of secrets are unique.
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
    """Returns the endpoint's hosts in the file's order, each with its port."""
    default = default_port(secure=endpoint.protocol is Protocol.HTTPS)
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
    """Returns the Host header. All hosts of the list get the first host's name."""
    first = addresses(endpoint)[0]
    return authority(first.host, first.port, secure=endpoint.protocol is Protocol.HTTPS)

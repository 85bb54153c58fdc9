"""Rewrites `localhost` for containers. There it is the container itself, but users mean the machine.

Only the address that Envoy connects to changes. The server's name in `Host`, in TLS and in its certificate stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from controlplane.compile.api_calls import addresses
from controlplane.compile.plans import Address, EnvoyPlan, Loopback, Pipe, Upstream
from controlplane.config.addresses import host_and_port, is_ip, is_this_machine
from controlplane.config.arch_config import ArchConfig


def rewrite_loopback(plan: EnvoyPlan, loopback: Loopback) -> EnvoyPlan:
    """Returns `plan` with upstream addresses that work inside a container."""
    return replace(
        plan,
        providers=tuple(replace(each, upstream=_rewrite_upstream(each.upstream, loopback)) for each in plan.providers),
        apis=tuple(replace(each, upstream=_rewrite_upstream(each.upstream, loopback)) for each in plan.apis),
        tracing=plan.tracing and replace(plan.tracing, collector=_rewrite_upstream(plan.tracing.collector, loopback)),
        remote=plan.remote and replace(plan.remote, upstream=_rewrite_upstream(plan.remote.upstream, loopback)),
    )


def loopback_keys(config: ArchConfig, plan: EnvoyPlan, loopback: Loopback) -> tuple[str, ...]:
    """Returns the keys with a server on the container engine's machine, each key with its address in the file."""
    return tuple(
        f"{key} {host_and_port(written.host, written.port)}"
        for key, written in _configured_addresses(config, plan)
        if is_this_machine(written.host) and written.port not in loopback.services
    )


def _configured_addresses(config: ArchConfig, plan: EnvoyPlan) -> Iterator[tuple[str, Address]]:
    for name, endpoint in config.endpoints.items():
        yield from ((f"endpoints.{name}.endpoint", address) for address in addresses(endpoint))
    for provider in config.llm_providers:
        url = provider.url()
        if url is not None:
            key = "provider" if provider.base_url is None else "base_url"
            yield f"llm_providers.{provider.name}.{key}", Address(url.host, url.port)
    if plan.remote is not None and config.model_serving.remote is not None:
        yield from (
            ("model_serving.remote.url", Address(url.host, url.port)) for url in config.model_serving.remote.url
        )
    if config.tracing is not None:
        yield "tracing.collector", Address(config.tracing.collector.host, config.tracing.collector.port)


def _rewrite_upstream(upstream: Upstream, loopback: Loopback) -> Upstream:
    addresses = tuple(_rewrite_address(address, loopback) for address in upstream.addresses)
    hosts = [each.host for each in addresses if isinstance(each, Address)]
    local_names = any(host == loopback.host or _is_container_name(host) for host in hosts)
    return replace(upstream, addresses=addresses, local_names=local_names)


def _rewrite_address(written: Address | Pipe, loopback: Loopback) -> Address | Pipe:
    if isinstance(written, Pipe) or not is_this_machine(written.host):
        return written
    return loopback.services.get(written.port, Address(loopback.host, written.port))


def _is_container_name(host: str) -> bool:
    """Returns True if `host` is a container's name. Public names have a dot."""
    return not is_ip(host) and "." not in host

"""`localhost` of the file, seen from containers: there it is the container itself, and people mean the machine.

Only the address that Envoy connects to changes. What a server is called in `Host`, in TLS and in its certificate stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from controlplane.compile.api_calls import addresses
from controlplane.compile.plans import Address, EnvoyPlan, Loopback, Pipe, Upstream
from controlplane.config.addresses import host_and_port, is_ip, is_this_machine
from controlplane.config.arch_config import ArchConfig


def rewrite_loopback(plan: EnvoyPlan, loopback: Loopback) -> EnvoyPlan:
    """`plan` with every upstream at an address that leads there from inside a container."""
    return replace(
        plan,
        providers=tuple(replace(each, upstream=_reached(each.upstream, loopback)) for each in plan.providers),
        apis=tuple(replace(each, upstream=_reached(each.upstream, loopback)) for each in plan.apis),
        tracing=plan.tracing and replace(plan.tracing, collector=_reached(plan.tracing.collector, loopback)),
        remote=plan.remote and replace(plan.remote, upstream=_reached(plan.remote.upstream, loopback)),
    )


def loopback_keys(config: ArchConfig, plan: EnvoyPlan, loopback: Loopback) -> tuple[str, ...]:
    """The keys whose servers are looked for on the engine's machine, each with the address that the file says."""
    return tuple(
        f"{key} {host_and_port(written.host, written.port)}"
        for key, written in _written(config, plan)
        if is_this_machine(written.host) and written.port not in loopback.services
    )


def _written(config: ArchConfig, plan: EnvoyPlan) -> Iterator[tuple[str, Address]]:
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


def _reached(upstream: Upstream, loopback: Loopback) -> Upstream:
    found = tuple(_address(address, loopback) for address in upstream.addresses)
    hosts = [each.host for each in found if isinstance(each, Address)]
    near = any(host == loopback.host or _of_network(host) for host in hosts)
    return replace(upstream, addresses=found, local_names=near)


def _address(written: Address | Pipe, loopback: Loopback) -> Address | Pipe:
    if isinstance(written, Pipe) or not is_this_machine(written.host):
        return written
    return loopback.services.get(written.port, Address(loopback.host, written.port))


def _of_network(host: str) -> bool:
    """Whether it is the name of a container rather than one of the world's, which have a dot."""
    return not is_ip(host) and "." not in host

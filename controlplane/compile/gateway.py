"""`compile_gateway`: one ArchConfig into everything that the filter, Envoy and Triton are told.

Called by `archgw up`, `render` and `validate`. It decides nothing that the file or the site has decided already; what
neither says, the constants of this package say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controlplane.compile.backends import backends, guarded
from controlplane.compile.calls import compile_calls, error_call, error_call_ms, longest_call_ms
from controlplane.compile.hosts import host_pattern, origin_pattern
from controlplane.compile.inference import compile_inference, role_places
from controlplane.compile.loopback import loopback_keys, reached_from_containers
from controlplane.compile.models import compile_models
from controlplane.compile.plans import (
    Address,
    Credential,
    EnvoyPlan,
    Gateway,
    Listener,
    LogPlan,
    OwnModel,
    Pipe,
    ProviderRoute,
    Site,
    Tracing,
    Upstream,
)
from controlplane.compile.prompting import compile_guards, compile_prompting
from controlplane.compile.remote import compile_remote
from controlplane.config.addresses import authority, listened_on
from controlplane.config.arch import ArchConfig
from controlplane.config.listeners import Egress, Ingress
from controlplane.config.providers import TRITON, VENDORS, Provider
from extproc.shared import filter_config

# What the filter waits beyond Envoy's own timeout, so that Envoy's 504 arrives instead of being overtaken.
_ENDPOINT_GRACE_MS: Final = 1_000
# Reading a body and everything else that is neither a model nor an API.
_REQUEST_GRACE_MS: Final = 10_000


def compile_gateway(config: ArchConfig, site: Site, own: Sequence[OwnModel] = ()) -> Gateway:
    """Compile a valid configuration for one site, with the models of the user's own that it names.

    The same arguments give an equal result. UsageError where the site's mode needs what the file does not say,
    RuntimeFault where it needs what the site does not have.
    """
    places = backends(config, site.mode)
    local = (role for role, its in places.items() if filter_config.Place.LOCAL in its)
    models = compile_models(config, site, local, own)
    inference = compile_inference(config, site, places, models)
    envoy = _envoy_plan(config, site, inference)
    return Gateway(
        filter_config=_filter_config(config, site, inference),
        envoy=envoy if site.loopback is None else reached_from_containers(envoy, site.loopback),
        models=models,
        logs=LogPlan(config.overrides.log_max_bytes, config.overrides.log_files),
        places=role_places(config, site, places, models),
        elsewhere=() if site.loopback is None else loopback_keys(config, envoy, site.loopback),
    )


def _filter_config(
    config: ArchConfig, site: Site, inference: filter_config.Inference | None
) -> filter_config.FilterConfig:
    # The error target is called after a call that failed, each within the longest that any call may take.
    call_ms = max(longest_call_ms(config), error_call_ms(config)) + _ENDPOINT_GRACE_MS
    calls_ms = call_ms + (error_call_ms(config) + _ENDPOINT_GRACE_MS if config.error_target else 0)
    only = len(config.llm_providers) == 1
    return filter_config.FilterConfig(
        version=filter_config.VERSION,
        providers=tuple(_filter_provider(provider, only=only) for provider in config.llm_providers),
        unknown_model=config.overrides.unknown_model,
        max_request_bytes=config.overrides.max_request_bytes,
        max_json_values=config.overrides.max_json_values,
        internal_socket=site.internal_socket,
        endpoint_timeout_ms=call_ms,
        request_timeout_ms=calls_ms + (inference.models_timeout_ms if inference else 0) + _REQUEST_GRACE_MS,
        inference=inference,
        guards=tuple(compile_guards(config)) if guarded(config) else (),
        guarded=guarded(config),
        error_target=error_call(config.error_target) if config.error_target else None,
        prompting=compile_prompting(config) if config.listeners.ingress.enabled else None,
        timing_header=config.overrides.timing_header,
        watch_answers=config.overrides.watch_answers,
        transport=config.overrides.filter_transport,
    )


def _filter_provider(provider: Provider, *, only: bool) -> filter_config.Provider:
    vendor = VENDORS.get(provider.provider)
    return filter_config.Provider(
        name=provider.name,
        model=provider.model,
        schema=filter_config.Schema.TRITON if provider.provider == TRITON else filter_config.Schema.OPENAI,
        cluster=_provider_cluster(provider.name),
        # A single provider needs no mark to be the one that is meant.
        default=provider.default or only,
        accepts_metadata=vendor.accepts_metadata if vendor else False,
        accepts_developer=vendor.accepts_developer if vendor else False,
    )


def _envoy_plan(config: ArchConfig, site: Site, inference: filter_config.Inference | None) -> EnvoyPlan:
    remote = config.model_serving.remote
    is_asked = inference is not None and filter_config.Place.REMOTE in inference.servers
    doors: dict[str, Ingress | Egress] = {"ingress": config.listeners.ingress, "egress": config.listeners.egress}
    calls = compile_calls(config)
    return EnvoyPlan(
        listeners=tuple(_listener(name, door, site) for name, door in doors.items() if door.enabled),
        providers=tuple(_provider_route(provider, site) for provider in config.llm_providers),
        apis=calls.apis,
        calls=calls.routes,
        workers=config.overrides.filter_workers or site.workers,
        max_request_bytes=config.overrides.max_request_bytes,
        tracing=_tracing(config),
        remote=compile_remote(remote) if remote is not None and is_asked else None,
        timing_header=config.overrides.timing_header,
        max_heap_bytes=site.max_heap_bytes,
    )


def _listener(name: str, door: Ingress | Egress, site: Site) -> Listener:
    at = tuple(Address(host, door.port) for host in listened_on(door.address, ipv6=site.ipv6))
    return Listener(
        name,
        Address(door.address, door.port),
        bind=at if site.doors is None else (site.doors[name],),
        published=() if site.doors is None else at,
        hosts=host_pattern(door.address, door.allowed_hosts, in_containers=site.doors is not None),
        # The applications of the team are no browsers.
        origins=origin_pattern(door.allowed_hosts) if isinstance(door, Ingress) else None,
    )


def _provider_cluster(name: str) -> str:
    return f"provider_{name}"


def _provider_route(provider: Provider, site: Site) -> ProviderRoute:
    url = provider.url()
    return ProviderRoute(
        name=provider.name,
        upstream=Upstream(
            cluster=_provider_cluster(provider.name),
            addresses=(Address(url.host, url.port) if url else Pipe(site.triton.http),),
            connect_timeout_ms=provider.connect_timeout,
            tls_server_name=url.host if url and url.secure else None,
        ),
        authority=authority(url.host, url.port, secure=url.secure) if url else TRITON,
        path_prefix=url.path if url else None,
        credential=_credential(provider),
        passthrough_auth=provider.passthrough_auth,
        idle_timeout_ms=provider.timeout,
        headers=VENDORS[provider.provider].headers if provider.provider in VENDORS else (),
    )


def _credential(provider: Provider) -> Credential | None:
    if provider.access_key is None:
        return None
    return Credential(
        secret_name=_provider_cluster(provider.name),
        header="authorization",
        prefix="Bearer ",
        value=provider.access_key.get_secret_value(),
    )


def _tracing(config: ArchConfig) -> Tracing | None:
    if config.tracing is None:
        return None
    url = config.tracing.collector
    return Tracing(
        collector=Upstream(
            cluster="otlp_collector",
            addresses=(Address(url.host, url.port),),
            connect_timeout_ms=1_000,
            tls_server_name=url.host if url.secure else None,
        ),
        random_sampling=config.tracing.random_sampling,
    )

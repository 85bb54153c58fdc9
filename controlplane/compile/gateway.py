"""Compiles one ArchConfig into the plans for the filter, Envoy and Triton. Used by `archgw up`, `render`, `validate`.

The result depends only on the file and the target environment. Defaults are constants of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from controlplane.compile.allowed_hosts import host_pattern, origin_pattern
from controlplane.compile.api_calls import compile_calls, error_call, error_call_ms, longest_call_ms
from controlplane.compile.inference import compile_inference, role_locations
from controlplane.compile.loopback import loopback_keys, rewrite_loopback
from controlplane.compile.model_plan import compile_models
from controlplane.compile.plans import (
    Address,
    Credential,
    EnvoyPlan,
    Gateway,
    Listener,
    LogPlan,
    Pipe,
    ProviderRoute,
    TargetEnvironment,
    Tracing,
    Upstream,
)
from controlplane.compile.prompting import compile_guards, compile_prompting
from controlplane.compile.remote_triton import compile_remote
from controlplane.compile.role_backends import role_backends
from controlplane.config.addresses import authority, listened_on
from controlplane.config.arch_config import ArchConfig
from controlplane.config.listeners import Egress, Ingress
from controlplane.config.providers import Provider
from controlplane.config.vendors import TRITON, VENDORS
from controlplane.models.custom_model import CustomModel
from extproc.shared import filter_config

# Extra time that the filter waits after Envoy's own timeout, so that Envoy's 504 arrives first.
_ENDPOINT_GRACE_MS: Final = 1_000
# Time for a body and for all work that is neither a model nor an API call.
_REQUEST_GRACE_MS: Final = 10_000


def compile_gateway(config: ArchConfig, environment: TargetEnvironment, custom: Sequence[CustomModel] = ()) -> Gateway:
    """Compiles a valid configuration for one environment. `custom`: the user's own models that the file names.

    Equal arguments give equal results. Raises UsageError if the file lacks settings for the environment's mode, and
    RuntimeFault if the environment lacks hardware or software for it.
    """
    places = role_backends(config, environment.mode)
    local = (role for role, role_places in places.items() if filter_config.Place.LOCAL in role_places)
    models = compile_models(config, environment, local, custom)
    inference = compile_inference(config, environment, places, models)
    envoy = _envoy_plan(config, environment, inference)
    return Gateway(
        filter_config=_filter_config(config, environment, inference),
        envoy=envoy if environment.loopback is None else rewrite_loopback(envoy, environment.loopback),
        models=models,
        logs=LogPlan(config.overrides.log_max_bytes, config.overrides.log_files),
        places=role_locations(config, environment, places, models),
        loopback_keys=() if environment.loopback is None else loopback_keys(config, envoy, environment.loopback),
    )


def _filter_config(
    config: ArchConfig, environment: TargetEnvironment, inference: filter_config.Inference | None
) -> filter_config.FilterConfig:
    # A request may make an API call and, when that fails, a call of the error target.
    call_ms = max(longest_call_ms(config), error_call_ms(config)) + _ENDPOINT_GRACE_MS
    calls_ms = call_ms + (error_call_ms(config) + _ENDPOINT_GRACE_MS if config.error_target else 0)
    only = len(config.llm_providers) == 1
    return filter_config.FilterConfig(
        version=filter_config.VERSION,
        providers=tuple(_filter_provider(provider, only=only) for provider in config.llm_providers),
        unknown_model=config.overrides.unknown_model,
        max_request_bytes=config.overrides.max_request_bytes,
        max_json_values=config.overrides.max_json_values,
        internal_socket=environment.internal_socket,
        endpoint_timeout_ms=call_ms,
        request_timeout_ms=calls_ms + (inference.models_timeout_ms if inference else 0) + _REQUEST_GRACE_MS,
        inference=inference,
        guards=compile_guards(config),
        error_target=error_call(config.error_target) if config.error_target else None,
        prompting=compile_prompting(config) if config.listeners.ingress.enabled else None,
        timing_header=config.overrides.timing_header,
        watch_answers=config.overrides.watch_answers,
        transport=config.overrides.filter_transport,
    )


def _filter_provider(provider: Provider, *, only: bool) -> filter_config.Provider:
    vendor = VENDORS[provider.provider]
    return filter_config.Provider(
        name=provider.name,
        model=provider.model,
        schema=vendor.schema,
        cluster=_provider_cluster(provider.name),
        # A sole provider is the default.
        default=provider.default or only,
        accepts_metadata=vendor.accepts_metadata,
        accepts_developer=vendor.accepts_developer,
    )


def _envoy_plan(
    config: ArchConfig, environment: TargetEnvironment, inference: filter_config.Inference | None
) -> EnvoyPlan:
    remote = config.model_serving.remote
    is_used = inference is not None and filter_config.Place.REMOTE in inference.servers
    listeners: dict[str, Ingress | Egress] = {"ingress": config.listeners.ingress, "egress": config.listeners.egress}
    calls = compile_calls(config)
    return EnvoyPlan(
        listeners=tuple(
            _listener(name, section, environment) for name, section in listeners.items() if section.enabled
        ),
        providers=tuple(_provider_route(provider, environment) for provider in config.llm_providers),
        apis=calls.apis,
        calls=calls.routes,
        workers=config.overrides.filter_workers or environment.workers,
        max_request_bytes=config.overrides.max_request_bytes,
        tracing=_tracing(config),
        remote=compile_remote(remote) if remote is not None and is_used else None,
        timing_header=config.overrides.timing_header,
        max_heap_bytes=environment.max_heap_bytes,
    )


def _listener(name: str, section: Ingress | Egress, environment: TargetEnvironment) -> Listener:
    addresses = tuple(Address(host, section.port) for host in listened_on(section.address, ipv6=environment.ipv6))
    return Listener(
        name,
        Address(section.address, section.port),
        bind=addresses if environment.listen_addresses is None else (environment.listen_addresses[name],),
        published=() if environment.listen_addresses is None else addresses,
        hosts=host_pattern(
            section.address, section.allowed_hosts, in_containers=environment.listen_addresses is not None
        ),
        # Egress clients are the team's applications, not browsers.
        origins=origin_pattern(section.allowed_hosts) if isinstance(section, Ingress) else None,
    )


def _provider_cluster(name: str) -> str:
    return f"provider_{name}"


def _provider_route(provider: Provider, environment: TargetEnvironment) -> ProviderRoute:
    url = provider.url()
    return ProviderRoute(
        name=provider.name,
        upstream=Upstream(
            cluster=_provider_cluster(provider.name),
            addresses=(Address(url.host, url.port) if url else Pipe(environment.triton.http),),
            connect_timeout_ms=provider.connect_timeout,
            tls_server_name=url.host if url and url.secure else None,
        ),
        authority=authority(url.host, url.port, secure=url.secure) if url else TRITON,
        path_prefix=url.path if url else None,
        credential=_credential(provider),
        passthrough_auth=provider.passthrough_auth,
        idle_timeout_ms=provider.timeout,
        headers=VENDORS[provider.provider].headers,
    )


def _credential(provider: Provider) -> Credential | None:
    if provider.access_key is None:
        return None
    vendor = VENDORS[provider.provider]
    return Credential(
        secret_name=_provider_cluster(provider.name),
        header=vendor.auth_header,
        prefix=vendor.auth_prefix,
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

"""`compile_gateway`: one ArchConfig into everything that the filter, Envoy and Triton are told.

Called by `archgw up`, `render` and `validate`. It decides nothing that the file or the site has decided already; the
constants below are the defaults of what neither says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from controlplane.compile.plans import (
    Address,
    Credential,
    EndpointRoute,
    EnvoyPlan,
    Gateway,
    Listener,
    ModelInstance,
    ModelPlan,
    ProviderRoute,
    Site,
    Tracing,
    Upstream,
)
from controlplane.config.addresses import authority
from controlplane.config.arch import ArchConfig
from controlplane.config.endpoints import Endpoint, Protocol
from controlplane.config.guards import Jailbreak
from controlplane.config.providers import TRITON, VENDORS, Provider
from controlplane.config.targets import Parameter, PromptTarget
from extproc import contract

# Cosine similarity under which a prompt means no target: keeps .98 of the prompts that mean one and lets .05 of those
# about other things through (docs/models.md, BFCL). The function model has the last word on what passes.
INTENT_THRESHOLD: Final = 0.30

# Deadlines of one model call. The guard reads long prompts in windows, the function model decodes tokens.
_TIMEOUTS_MS: Final[Mapping[str, int]] = {"embed": 5_000, "guard": 10_000, "function": 20_000, "chat": 30_000}

# What the filter waits beyond Envoy's own timeout, so that Envoy's 504 arrives instead of being overtaken.
_ENDPOINT_GRACE_MS: Final = 1_000
# Reading a body and everything else that is neither a model nor an API.
_REQUEST_GRACE_MS: Final = 10_000

# Processes of one model that reads every prompt, some 100 MB each. Batches are small, since the answers of a batch
# leave together: the first text of a long one would wait for the last.
_MOST_READERS: Final = 4

_LOOPBACK: Final = "127.0.0.1"
# The name that Triton serves each role under; the chat model is also a value of `llm_providers[].model`.
_CHAT: Final = "chat"


def compile_gateway(config: ArchConfig, site: Site) -> Gateway:
    """Compile a valid configuration for one site. The same arguments give an equal result."""
    workers = config.overrides.filter_workers or site.workers
    return Gateway(
        contract=_contract(config, site),
        envoy=_envoy_plan(config, site, workers),
        models=_model_plan(config, site),
    )


def _contract(config: ArchConfig, site: Site) -> contract.FilterContract:
    endpoint_timeout = max((endpoint.timeout for endpoint in config.endpoints.values()), default=0) + _ENDPOINT_GRACE_MS
    models = max(_TIMEOUTS_MS["embed"], _TIMEOUTS_MS["guard"]) + _TIMEOUTS_MS["function"]
    only = len(config.llm_providers) == 1
    return contract.FilterContract(
        version=contract.VERSION,
        providers=tuple(_contract_provider(provider, only=only) for provider in config.llm_providers),
        max_request_bytes=config.overrides.max_request_bytes,
        internal_socket=site.internal_socket,
        endpoint_timeout_ms=endpoint_timeout,
        request_timeout_ms=endpoint_timeout + models + _REQUEST_GRACE_MS,
        inference=_inference(config, site),
        prompting=_prompting(config) if config.listeners.ingress.enabled else None,
    )


def _contract_provider(provider: Provider, *, only: bool) -> contract.Provider:
    vendor = VENDORS.get(provider.provider)
    return contract.Provider(
        name=provider.name,
        model=provider.model,
        wire=contract.Wire.TRITON if provider.provider == TRITON else contract.Wire.OPENAI,
        cluster=_provider_cluster(provider.name),
        # A single provider needs no mark to be the one that is meant.
        default=provider.default or only,
        accepts_metadata=vendor.accepts_metadata if vendor else False,
    )


def _inference(config: ArchConfig, site: Site) -> contract.Inference | None:
    """What the filter asks, and watches over, is what Triton serves."""
    models = {
        contract.Role(model.role): contract.Model(name=model.name, timeout_ms=_TIMEOUTS_MS[model.role])
        for model in _model_plan(config, site).models
    }
    if not models:
        return None
    return contract.Inference(url=f"{_LOOPBACK}:{site.triton.grpc}", models=models, repair_lock=site.repair_lock)


def _prompting(config: ArchConfig) -> contract.Prompting:
    override = config.overrides.prompt_target_intent_matching_threshold
    jailbreak = config.prompt_guards.input_guards.jailbreak
    targets = tuple(_target(target) for target in config.prompt_targets if not target.default)
    default = next((_target(target) for target in config.prompt_targets if target.default), None)
    return contract.Prompting(
        intent=contract.Intent(threshold=INTENT_THRESHOLD if override is None else override),
        jailbreak=_jailbreak(jailbreak) if jailbreak else None,
        targets=targets,
        default_target=default,
        system_prompt=config.system_prompt,
    )


def _jailbreak(guard: Jailbreak) -> contract.Jailbreak:
    return contract.Jailbreak(
        threshold=guard.threshold,
        on_error=contract.FailMode(guard.on_error.value),
        message=guard.on_exception.message,
        status=guard.on_exception.status,
    )


def _target(target: PromptTarget) -> contract.Target:
    dispatch = target.auto_llm_dispatch_on_response
    return contract.Target(
        name=target.name,
        description=target.description,
        call=contract.EndpointCall(
            endpoint=target.endpoint.name,
            cluster=_endpoint_cluster(target.endpoint.name),
            method=target.endpoint.http_method,
            path=target.endpoint.path,
        ),
        parameters=tuple(_parameter(parameter) for parameter in target.parameters),
        system_prompt=target.system_prompt,
        auto_llm_dispatch=(not target.default) if dispatch is None else dispatch,
    )


def _parameter(parameter: Parameter) -> contract.Parameter:
    return contract.Parameter(
        name=parameter.name,
        type=parameter.type,
        description=parameter.description,
        required=parameter.required,
        default_json=json.dumps(parameter.default, ensure_ascii=False) if parameter.has_default else None,
        enum=parameter.enum,
        format=parameter.format,
    )


def _envoy_plan(config: ArchConfig, site: Site, workers: int) -> EnvoyPlan:
    listeners = (("ingress", config.listeners.ingress), ("egress", config.listeners.egress))
    return EnvoyPlan(
        listeners=tuple(
            Listener(name, Address(listener.address, listener.port)) for name, listener in listeners if listener.enabled
        ),
        providers=tuple(_provider_route(provider, site) for provider in config.llm_providers),
        endpoints=tuple(_endpoint_route(name, endpoint) for name, endpoint in config.endpoints.items()),
        workers=workers,
        max_request_bytes=config.overrides.max_request_bytes,
        tracing=_tracing(config),
    )


def _provider_cluster(name: str) -> str:
    return f"provider_{name}"


def _endpoint_cluster(name: str) -> str:
    return f"endpoint_{name}"


def _provider_route(provider: Provider, site: Site) -> ProviderRoute:
    url = provider.url()
    host, port, secure = (url.host, url.port, url.secure) if url else (_LOOPBACK, site.triton.http, False)
    return ProviderRoute(
        name=provider.name,
        upstream=Upstream(
            cluster=_provider_cluster(provider.name),
            addresses=(Address(host, port),),
            connect_timeout_ms=provider.connect_timeout,
            tls_server_name=host if secure else None,
        ),
        authority=authority(host, port, secure=secure),
        path_prefix=url.path if url else None,
        credential=_credential(provider),
        passthrough_auth=provider.passthrough_auth,
        idle_timeout_ms=provider.timeout,
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


def _endpoint_route(name: str, endpoint: Endpoint) -> EndpointRoute:
    secure = endpoint.protocol is Protocol.HTTPS
    addresses = tuple(Address(host.host, host.port or (443 if secure else 80)) for host in endpoint.endpoint)
    # Hosts of one list serve the same API: they are all called by the first one's name.
    first = addresses[0]
    return EndpointRoute(
        name=name,
        upstream=Upstream(
            cluster=_endpoint_cluster(name),
            addresses=addresses,
            connect_timeout_ms=endpoint.connect_timeout,
            tls_server_name=first.host if secure else None,
        ),
        authority=authority(first.host, first.port, secure=secure),
        timeout_ms=endpoint.timeout,
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


def _model_plan(config: ArchConfig, site: Site) -> ModelPlan:
    """A model that no part of the configuration asks is not loaded."""
    models: tuple[ModelInstance, ...] = ()
    if config.listeners.ingress.enabled:
        # Each instance is a process with one thread at work. Every prompt goes through both, so they share the cores.
        readers = min(_MOST_READERS, max(1, site.workers // 2))
        embed = ModelInstance("embed", "embed", instances=readers, max_batch_size=8, max_queue_delay_us=0)
        guard = ModelInstance("guard", "guard", instances=readers, max_batch_size=4, max_queue_delay_us=0)
        function = ModelInstance("function", "function", instances=1, max_batch_size=1, max_queue_delay_us=0)
        models = (embed, guard, function) if config.prompt_guards.input_guards.jailbreak else (embed, function)
    if any(provider.provider == TRITON for provider in config.llm_providers):
        # Decoupled: one request, many responses, so Triton must not batch.
        models = (*models, ModelInstance(_CHAT, _CHAT, instances=1, max_batch_size=0, max_queue_delay_us=0))
    return ModelPlan(ports=site.triton, models=models)

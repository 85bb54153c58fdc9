"""`compile_gateway`: the plans for the filter, Envoy and Triton."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.assets import asset
from controlplane.compile.allowed_hosts import host_pattern
from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import (
    Address,
    ApiCluster,
    CallRoute,
    Credential,
    Gateway,
    Listener,
    ModelInstance,
    Pipe,
    ProviderRoute,
    TargetEnvironment,
    Tracing,
    TritonSockets,
    Upstream,
)
from controlplane.compile.prompting import GROUNDING_THRESHOLD, INTENT_THRESHOLD
from controlplane.config.arch_config import ArchConfig
from controlplane.config.load import load
from controlplane.errors import UsageError
from controlplane.models.custom_model import CustomModel
from extproc.shared import filter_config
from extproc.shared.filter_config import TextRole
from extproc.shared.roles import Role
from extproc.shared.scripts import Script

SITE = TargetEnvironment(
    TritonSockets(http="/run/h", grpc="/run/g"), workers=3, internal_socket="/run/i", reload_lock="/run/r"
)
LOCAL = {"name": "local", "provider": "triton", "model": "chat"}
HOSTED = {"name": "gpt", "provider": "openai", "model": "gpt-4o", "access_key": "sk-1"}
SECRET = "sk-very-secret-0123456789"


def compiled(**sections: Any) -> Gateway:
    config = ArchConfig.model_validate_json(json.dumps({"version": "v1", "llm_providers": [LOCAL], **sections}))
    return compile_gateway(config, SITE)


def with_targets(endpoint: dict[str, Any], *calls: dict[str, Any], **sections: Any) -> Gateway:
    """A gateway with one endpoint, `api`, and a target for each of `calls`."""
    targets = [
        {"name": f"t{index}", "description": "d", "endpoint": {"name": "api", **call}}
        for index, call in enumerate(calls)
    ]
    return compiled(endpoints={"api": endpoint}, prompt_targets=targets, **sections)


def prompting(gateway: Gateway) -> filter_config.Prompting:
    assert gateway.filter_config.prompting is not None
    return gateway.filter_config.prompting


def with_target(**keys: Any) -> filter_config.Prompting:
    target = {"name": "t", "description": "d", "endpoint": {"name": "api", "path": "/p"}, **keys}
    return prompting(compiled(endpoints={"api": {"endpoint": "h"}}, prompt_targets=[target]))


def test_the_quick_start_compiles() -> None:
    gateway = compile_gateway(load(asset("examples/quickstart") / "arch_config.yaml", {}).config, SITE)
    assert [target.name for target in prompting(gateway).targets] == ["get_current_weather", "currency_exchange"]
    assert [target.call.path for target in prompting(gateway).targets] == ["/weather", "/currency"]
    assert gateway.envoy.apis[0].upstream.addresses == (Address("127.0.0.1", 18083),)
    assert [model.name for model in gateway.models.models] == ["embed", "guard", "function", "chat"]


def test_equal_file_and_environment_compile_to_equal_gateways() -> None:
    assert compiled() == compiled()


def test_filter_config_survives_serialization(tmp_path: Any) -> None:
    gateway = compile_gateway(load(asset("examples/quickstart") / "arch_config.yaml", {}).config, SITE)
    path = tmp_path / "filter.json"
    path.write_bytes(filter_config.dump(gateway.filter_config))
    assert filter_config.load(path) == gateway.filter_config


def test_both_listeners_are_on_by_default() -> None:
    loopback = host_pattern("127.0.0.1", (), in_containers=False)
    assert compiled().envoy.listeners == (
        Listener("ingress", Address("0.0.0.0", 10000), bind=(Address("0.0.0.0", 10000),)),  # noqa: S104
        Listener("egress", Address("127.0.0.1", 12000), bind=(Address("127.0.0.1", 12000),), hosts=loopback),
    )


def test_without_ingress_there_is_no_prompting_and_no_model() -> None:
    gateway = compiled(listeners={"ingress": {"enabled": False}}, llm_providers=[HOSTED])
    assert [listener.name for listener in gateway.envoy.listeners] == ["egress"]
    assert gateway.filter_config.prompting is None
    assert gateway.models.models == ()


GUARDED: dict[str, Any] = {"input_guards": {"jailbreak": {}}}


def test_ingress_uses_guard_role_only_with_a_guard() -> None:
    assert [model.role for model in compiled(llm_providers=[HOSTED]).models.models] == ["embed", "function"]
    guarded = compiled(llm_providers=[HOSTED], prompt_guards=GUARDED)
    assert [model.role for model in guarded.models.models] == ["embed", "guard", "function"]


def test_the_filter_watches_exactly_the_models_that_are_served() -> None:
    for gateway in (compiled(), compiled(prompt_guards=GUARDED), compiled(listeners={"ingress": {"enabled": False}})):
        assert gateway.filter_config.inference
        models_by_role = {
            str(role): served.backends[0].model for role, served in gateway.filter_config.inference.roles.items()
        }
        assert models_by_role == {model.role: model.name for model in gateway.models.models}
    silent = compiled(listeners={"ingress": {"enabled": False}}, llm_providers=[HOSTED])
    assert silent.filter_config.inference is None


def test_the_chat_model_is_served_only_for_a_triton_provider() -> None:
    gateway = compiled(listeners={"ingress": {"enabled": False}})
    assert [model.role for model in gateway.models.models] == ["chat"]


def test_decoupled_model_is_not_batched() -> None:
    (chat,) = (model for model in compiled().models.models if model.role == "chat")
    assert chat.max_batch_size == 0


@pytest.mark.parametrize(("cores", "instances"), [(1, 1), (2, 1), (4, 2), (64, 4)])
def test_models_that_read_every_prompt_share_the_cores(cores: int, instances: int) -> None:
    config = ArchConfig.model_validate_json(
        json.dumps({"version": "v1", "llm_providers": [HOSTED], "prompt_guards": GUARDED})
    )
    models = compile_gateway(config, replace(SITE, workers=cores)).models.models
    assert {model.role: model.instances for model in models} == {"embed": instances, "guard": instances, "function": 1}


def test_filter_uses_the_triton_of_the_environment() -> None:
    inference = compiled().filter_config.inference
    assert inference
    assert inference.servers == {
        filter_config.Place.LOCAL: filter_config.Server(address="unix:/run/g", reload_lock="/run/r")
    }


def test_file_overrides_the_workers_of_the_environment() -> None:
    assert compiled().envoy.workers == 3
    assert compiled(overrides={"filter_workers": 7}).envoy.workers == 7


def test_envoy_and_filter_have_one_body_limit() -> None:
    gateway = compiled(overrides={"max_request_bytes": "2MiB"})
    assert gateway.filter_config.max_request_bytes == gateway.envoy.max_request_bytes == 2 * 1024 * 1024


def test_hosted_provider_gets_a_cluster_with_key_path_and_host() -> None:
    (route,) = compiled(llm_providers=[HOSTED]).envoy.providers
    assert route == ProviderRoute(
        name="gpt",
        upstream=Upstream("provider_gpt", (Address("api.openai.com", 443),), 5_000, tls_server_name="api.openai.com"),
        authority="api.openai.com",
        path_prefix="/v1",
        credential=Credential("provider_gpt", "authorization", "Bearer ", "sk-1"),
        passthrough_auth=False,
        idle_timeout_ms=300_000,
    )


def test_base_url_overrides_the_vendors_url() -> None:
    own = {"name": "own", "provider": "openai", "model": "m", "base_url": "http://10.0.0.5:8000/openai/v1"}
    (route,) = compiled(llm_providers=[own]).envoy.providers
    assert route.upstream.addresses == (Address("10.0.0.5", 8000),)
    assert (route.upstream.tls_server_name, route.authority) == (None, "10.0.0.5:8000")
    assert (route.path_prefix, route.credential) == ("/openai/v1", None)


def test_local_triton_provider_uses_the_http_socket() -> None:
    gateway = compiled()
    (route,) = gateway.envoy.providers
    assert route.upstream.addresses == (Pipe("/run/h"),)
    assert (route.path_prefix, route.credential, route.authority) == (None, None, "triton")
    assert gateway.filter_config.providers[0].schema is filter_config.Schema.TRITON


def test_two_ports_of_one_host_are_two_clusters() -> None:
    providers = [
        {"name": name, "provider": "openai_compatible", "model": "m", "base_url": f"http://h:{port}/v1"}
        for name, port in (("a", 1), ("b", 2))
    ]
    routes = compiled(llm_providers=providers).envoy.providers
    assert [(route.upstream.cluster, route.upstream.addresses) for route in routes] == [
        ("provider_a", (Address("h", 1),)),
        ("provider_b", (Address("h", 2),)),
    ]


def test_filter_and_envoy_name_the_same_clusters() -> None:
    gateway = compile_gateway(load(asset("examples/quickstart") / "arch_config.yaml", {}).config, SITE)
    assert [provider.cluster for provider in gateway.filter_config.providers] == [
        route.upstream.cluster for route in gateway.envoy.providers
    ]
    assert [target.call.upstream for target in prompting(gateway).targets] == [
        call.name for call in gateway.envoy.calls
    ]
    assert {call.cluster for call in gateway.envoy.calls} <= {api.upstream.cluster for api in gateway.envoy.apis}


def test_single_provider_is_the_default() -> None:
    assert compiled().filter_config.providers[0].default
    two = compiled(llm_providers=[LOCAL, HOSTED]).filter_config.providers
    assert not any(provider.default for provider in two)


@pytest.mark.parametrize(("vendor", "accepts"), [("openai", True), ("mistral", False), ("groq", False)])
def test_metadata_is_sent_to_providers_that_accept_it(vendor: str, accepts: bool) -> None:
    gateway = compiled(llm_providers=[{**HOSTED, "provider": vendor}])
    assert gateway.filter_config.providers[0].accepts_metadata is accepts


@pytest.mark.parametrize(("vendor", "accepts"), [("openai", True), ("mistral", False), ("groq", False)])
def test_developer_messages_are_sent_to_providers_that_support_them(vendor: str, accepts: bool) -> None:
    gateway = compiled(llm_providers=[{**HOSTED, "provider": vendor}])
    assert gateway.filter_config.providers[0].accepts_developer is accepts


def test_no_secret_is_in_the_filter_config_or_printed() -> None:
    gateway = compiled(llm_providers=[{**HOSTED, "access_key": SECRET}])
    assert SECRET.encode() not in filter_config.dump(gateway.filter_config)
    assert SECRET not in repr(gateway)


def test_an_endpoint_is_a_cluster_of_all_its_hosts() -> None:
    gateway = compiled(endpoints={"api": {"endpoint": ["a:1", "b"], "timeout": "2s", "connect_timeout": "50ms"}})
    assert gateway.envoy.apis == (ApiCluster(Upstream("endpoint_api", (Address("a", 1), Address("b", 80)), 50)),)


def test_https_sets_port_and_verified_name() -> None:
    envoy = with_targets({"endpoint": "api.example.com", "protocol": "https"}, {}).envoy
    assert envoy.apis[0].upstream.addresses == (Address("api.example.com", 443),)
    assert envoy.apis[0].upstream.tls_server_name == envoy.calls[0].authority == "api.example.com"


def test_the_filter_waits_longer_for_an_api_than_envoy_does() -> None:
    gateway = with_targets({"endpoint": "a", "timeout": "1s"}, {}, {"timeout": "2m", "retries": 2})
    slow = max(call.timeout_ms for call in gateway.envoy.calls)
    assert slow > 3 * 120_000
    assert gateway.filter_config.endpoint_timeout_ms > slow
    assert gateway.filter_config.request_timeout_ms > gateway.filter_config.endpoint_timeout_ms


def test_request_deadline_leaves_time_for_every_stage() -> None:
    gateway = with_targets({"endpoint": "a"}, {}, prompt_guards=GUARDED)
    assert gateway.filter_config.inference
    timeouts = {str(role): served.timeout_ms for role, served in gateway.filter_config.inference.roles.items()}
    stages = max(timeouts["guard"], timeouts["embed"]) + timeouts["function"]
    assert gateway.filter_config.inference.models_timeout_ms == stages
    assert gateway.filter_config.request_timeout_ms > stages + gateway.filter_config.endpoint_timeout_ms


def test_request_deadline_leaves_time_for_the_error_target() -> None:
    without = with_targets({"endpoint": "a", "timeout": "7s"}, {})
    forwarded = with_targets({"endpoint": "a", "timeout": "7s"}, {}, error_target={"endpoint": "api"})
    assert forwarded.filter_config.request_timeout_ms - without.filter_config.request_timeout_ms >= 7_000


def test_each_target_has_its_own_route_and_timeout() -> None:
    gateway = with_targets(
        {"endpoint": "h", "timeout": "4s"}, {}, {"timeout": "500ms", "retries": 3}, error_target={"endpoint": "api"}
    )
    assert gateway.envoy.calls == (
        CallRoute("target_t0", "endpoint_api", "h", attempt_ms=4_000, timeout_ms=4_000),
        CallRoute("target_t1", "endpoint_api", "h", attempt_ms=500, timeout_ms=4 * 500 + 3 * 250, retries=3),
        CallRoute("error_target", "endpoint_api", "h", attempt_ms=4_000, timeout_ms=4_000),
    )
    assert gateway.filter_config.error_target == filter_config.EndpointCall(
        endpoint="api", upstream="error_target", method=filter_config.HttpMethod.POST, path="/"
    )


def test_target_headers_are_secrets_of_its_own_cluster() -> None:
    gateway = with_targets({"endpoint": "h"}, {"http_headers": {"Authorization": SECRET, "x-team": "blue"}}, {})
    shared, own = gateway.envoy.apis
    assert (shared.headers, own.upstream.cluster) == ((), "target_t0")
    assert own.headers == (
        Credential("target_t0:authorization", "authorization", "", SECRET),
        Credential("target_t0:x-team", "x-team", "", "blue"),
    )
    assert replace(own.upstream, cluster=shared.upstream.cluster) == shared.upstream
    assert [call.cluster for call in gateway.envoy.calls] == ["target_t0", "endpoint_api"]
    assert SECRET.encode() not in filter_config.dump(gateway.filter_config)
    assert SECRET not in repr(gateway)


def test_secret_names_are_unique() -> None:
    targets = [
        {"name": name, "description": name, "endpoint": {"name": "api", "http_headers": {header: "v"}}}
        for name, header in (("a", "b_c"), ("a_b", "c"), ("a.b", "c"))
    ]
    gateway = compiled(endpoints={"api": {"endpoint": "h"}}, prompt_targets=targets)
    assert len({credential.secret_name for credential in gateway.envoy.credentials}) == 3


def test_default_target_is_not_a_candidate() -> None:
    found = with_target(default=True)
    assert found.targets == ()
    assert found.default_target is not None
    assert found.default_target.name == "t"


@pytest.mark.parametrize(
    ("keys", "dispatch"),
    [
        ({}, True),
        ({"default": True}, False),
        ({"auto_llm_dispatch_on_response": False}, False),
        ({"default": True, "auto_llm_dispatch_on_response": True}, True),
    ],
)
def test_llm_dispatch_is_on_by_default_except_for_the_default_target(keys: dict[str, Any], dispatch: bool) -> None:
    found = with_target(**keys)
    (target,) = found.targets or (found.default_target,)
    assert target is not None
    assert target.auto_llm_dispatch is dispatch


@pytest.mark.parametrize(
    ("keys", "expected"),
    [({}, None), ({"default": None}, "null"), ({"default": "é"}, '"é"'), ({"type": "int", "default": 0}, "0")],
)
def test_null_default_differs_from_no_default(keys: dict[str, Any], expected: str | None) -> None:
    (target,) = with_target(parameters=[{"name": "p", "description": "d", **keys}]).targets
    assert target.parameters[0].default_json == expected


def test_parameter_keeps_its_whole_declaration() -> None:
    declared = {
        "name": "p",
        "description": "d",
        "type": "string",
        "required": True,
        "enum": ["a", "b"],
        "format": "date",
    }
    (target,) = with_target(parameters=[declared]).targets
    assert target.parameters == (
        filter_config.Parameter(
            name="p",
            type=filter_config.ParameterType.STR,
            description="d",
            required=True,
            enum=("a", "b"),
            format="date",
        ),
    )


@pytest.mark.parametrize(
    ("written", "kind", "form"),
    [("date", "str", "date"), ("time", "str", "time"), ("datetime", "str", "date-time"), ("string", "str", None)],
)
def test_dates_and_times_are_text_in_their_format(written: str, kind: str, form: str | None) -> None:
    parameters = [
        {"name": "p", "description": "d", "type": written},
        {"name": "q", "description": "d", "type": "list", "items": {"type": written}},
    ]
    (target,) = with_target(parameters=parameters).targets
    one, several = target.parameters
    assert (one.type.value, one.format) == (kind, form)
    assert several.items is not None
    assert (several.items.type.value, several.items.format) == (kind, form)


def test_numbers_in_an_enum_stay_numbers() -> None:
    (target,) = with_target(parameters=[{"name": "p", "description": "d", "type": "int", "enum": [1, 2]}]).targets
    assert json.dumps(target.parameters[0].enum) == "[1, 2]"


def test_examples_join_the_description() -> None:
    (target,) = with_target(examples=["how hot is it?", "will it rain?"]).targets
    assert target.examples == ("how hot is it?", "will it rain?")


def test_default_threshold_is_the_measured_one() -> None:
    assert prompting(compiled()).intent.threshold == INTENT_THRESHOLD
    override = {"prompt_target_intent_matching_threshold": 0}
    assert prompting(compiled(overrides=override)).intent.threshold == 0


def test_guards_are_off_by_default() -> None:
    assert compiled().filter_config.guards == {}
    (jailbreak,) = compiled(prompt_guards=GUARDED).filter_config.guards[filter_config.Listener.INGRESS]
    assert (jailbreak.name, jailbreak.role) == ("jailbreak", Role.GUARD)
    assert (jailbreak.threshold, jailbreak.on_error, jailbreak.status) == (0.5, filter_config.FailMode.BLOCK, None)
    assert (jailbreak.mode, jailbreak.forward_to_error_target) == (filter_config.GuardMode.ENFORCE, False)
    assert jailbreak.message


def test_guards_read_ingress_by_default() -> None:
    assert set(compiled(prompt_guards=GUARDED).filter_config.guards) == {filter_config.Listener.INGRESS}
    both = compiled(prompt_guards={**GUARDED, "apply_to": ["egress", "ingress"]})
    assert set(both.filter_config.guards) == set(filter_config.Listener)


def test_guards_leave_out_the_applications_own_texts_on_egress_only() -> None:
    ingress, egress = scopes()
    assert ingress == tuple(TextRole)
    assert egress == (TextRole.USER, TextRole.TOOL, TextRole.DOCUMENT)


def test_a_given_scope_holds_for_both_listeners() -> None:
    assert scopes(scope=["tool", "tools"]) == [(TextRole.TOOL, TextRole.TOOLS)] * 2


def test_system_message_of_ingress_is_read_as_a_users() -> None:
    ingress, egress = jailbreaks()
    assert ingress.read_as_user == (TextRole.SYSTEM,)
    assert egress.read_as_user == ()


def scopes(**guard: Any) -> list[tuple[TextRole, ...]]:
    """The scopes of a guard on ingress and egress."""
    return [each.scope for each in jailbreaks(**guard)]


def jailbreaks(**guard: Any) -> list[filter_config.Guard]:
    """The guard on ingress and egress."""
    section = {"apply_to": ["ingress", "egress"], "input_guards": {"jailbreak": guard}}
    guards = compiled(prompt_guards=section).filter_config.guards
    return [guards[listener][0] for listener in filter_config.Listener]


@pytest.mark.parametrize(("model", "scripts"), [({}, (Script.LATIN,)), ({"model": "Arch-Guard"}, ())])
def test_the_guards_model_says_which_scripts_it_reads(model: dict[str, str], scripts: tuple[Script, ...]) -> None:
    gateway = compiled(prompt_guards=GUARDED, model_serving={"roles": {"guard": model}})
    assert gateway.filter_config.inference
    assert gateway.filter_config.inference.roles[Role.GUARD].backends[0].scripts == scripts
    assert gateway.filter_config.inference.roles[Role.EMBED].backends[0].scripts == ()


def test_guards_work_with_egress_alone() -> None:
    gateway = compiled(
        listeners={"ingress": {"enabled": False}},
        llm_providers=[HOSTED],
        prompt_guards={**GUARDED, "apply_to": ["ingress", "egress"]},
    )
    ((listener, guards),) = gateway.filter_config.guards.items()
    assert listener is filter_config.Listener.EGRESS
    assert [guard.name for guard in guards] == ["jailbreak"]
    assert gateway.models.names == ("guard",)
    assert gateway.filter_config.prompting is None


CUSTOM = (CustomModel("nli", "entails", Path("/m/entails"), 1), CustomModel("toxicity", "toxic", Path("/m/toxic"), 16))
SERVING = {
    "local": {"repository": "m"},
    "roles": {"nli": {"model": "entails"}, "toxicity": {"model": "toxic"}},
}


def with_own(**sections: Any) -> Gateway:
    document = {"version": "v1", "llm_providers": [HOSTED], "model_serving": SERVING, **sections}
    return compile_gateway(ArchConfig.model_validate_json(json.dumps(document)), SITE, CUSTOM)


def test_custom_models_are_served_and_used() -> None:
    gateway = with_own(prompt_guards={"input_guards": {"jailbreak": {}, "toxicity": {"threshold": 0.9}}})
    assert gateway.models.custom == CUSTOM
    assert gateway.models.names == ("embed", "guard", "function", "entails", "toxic")
    assert gateway.filter_config.inference
    roles = gateway.filter_config.inference.roles
    found = {role: (roles[role].backends[0].model, roles[role].backends[0].max_batch) for role in roles}
    assert found[Role.NLI] == ("entails", 1)
    assert found[Role.TOXICITY] == ("toxic", 16)
    guards = gateway.filter_config.guards[filter_config.Listener.INGRESS]
    assert [(guard.name, guard.role) for guard in guards] == [
        ("jailbreak", Role.GUARD),
        ("toxicity", Role.TOXICITY),
    ]
    assert guards[0].message != guards[1].message


def test_unused_model_is_not_loaded() -> None:
    assert with_own().models.names == ("embed", "function", "entails")
    assert with_own(listeners={"ingress": {"enabled": False}}).models.names == ()


def test_unresolved_custom_model_is_an_error() -> None:
    with pytest.raises(
        UsageError, match=r"model_serving\.roles\.nli\.model: nli runs on this machine, which has no model entails"
    ):
        compiled(model_serving=SERVING)


def test_intent_weights_are_compiled() -> None:
    intent = prompting(with_own()).intent
    assert (intent.nli_weight, intent.embedding_weight) == (0.7, 0.3)
    intent = prompting(with_own(overrides={"intent_weights": {"nli": 0.2, "embedding": 0.8}})).intent
    assert (intent.nli_weight, intent.embedding_weight) == (0.2, 0.8)


def test_grounding_is_on_by_default() -> None:
    assert prompting(compiled()).grounding == filter_config.Grounding(threshold=GROUNDING_THRESHOLD)
    assert prompting(compiled(overrides={"grounding": {"threshold": 0}})).grounding == filter_config.Grounding(
        threshold=0
    )
    assert prompting(compiled(overrides={"grounding": {"enabled": False}})).grounding is None


def test_models_that_read_every_prompt_take_many_texts_in_one_request() -> None:
    gateway = compiled(prompt_guards=GUARDED)
    assert gateway.filter_config.inference
    most = {str(role): served.backends[0].max_batch for role, served in gateway.filter_config.inference.roles.items()}
    assert most == {"embed": 64, "guard": 64, "function": 1, "chat": 1}
    assert gateway.models.models[0] == ModelInstance("embed", "embed", instances=1, max_batch_size=64)


def test_tracing_is_off_by_default() -> None:
    assert compiled().envoy.tracing is None
    assert compiled(tracing={}).envoy.tracing == Tracing(
        Upstream("otlp_collector", (Address("127.0.0.1", 4317),), 1_000), random_sampling=100
    )
    secure = compiled(tracing={"collector": "https://otel.example.com"}).envoy.tracing
    assert secure is not None
    assert secure.collector.tls_server_name == "otel.example.com"


def test_another_environment_changes_only_its_own_values() -> None:
    config = ArchConfig.model_validate_json(
        json.dumps({"version": "v1", "llm_providers": [HOSTED], "prompt_guards": GUARDED})
    )
    elsewhere = replace(SITE, internal_socket="/other")
    assert compile_gateway(config, SITE).envoy == compile_gateway(config, elsewhere).envoy
    assert compile_gateway(config, elsewhere).filter_config.internal_socket == "/other"

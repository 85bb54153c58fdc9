"""Content of the rendered files, parsed as Envoy parses them."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import trustme
import yaml

from controlplane.compile.plans import Address, Listener, Pipe, Tracing, Upstream
from controlplane.errors import RenderError
from controlplane.render.envoy_validation import find_envoy, validate_with_envoy
from controlplane.render.gateway_files import CREDENTIAL_HEADERS
from controlplane.render.proto_validation import validate_types
from controlplane.render.rendered_files import RenderedFile, RenderedFiles
from tests.unit.controlplane.render.plans import HEADER, KEY, plan, provider, remote, render

TRITONS = {
    "grpcs": remote(),
    "grpc, no key": remote("grpc", key=None),
    "https, two hosts": replace(
        remote("https", header="x-api-key"),
        upstream=Upstream(
            "triton_remote", (Address("a.internal", 443), Address("b.internal", 443)), 1000, "a.internal"
        ),
        path_prefix="/serving",
    ),
    "http": remote("http"),
    "by address": replace(remote(), upstream=Upstream("triton_remote", (Address("10.0.0.1", 443),), 1000, "10.0.0.1")),
}
HOSTILE = "a\"b'c{{ 7*7 }}{% raw %}#: [%REQ(authorization)%] é😀\u2028\x85$X"


def resources(files: dict[str, RenderedFile], name: str) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in yaml.safe_load(files[f"envoy/{name}.yaml"].text)["resources"]}


def provider_routes(files: dict[str, RenderedFile], listener: str) -> list[dict[str, Any]]:
    routes = resources(files, f"rds_{listener}")[listener]["virtual_hosts"][0]["routes"]
    return [route for route in routes if route["name"].startswith("provider_")]


def inside(node: Any, key: str) -> Iterator[Any]:
    """Yield every value under `key` at any depth."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            yield from inside(value, key)
    elif isinstance(node, list):
        for item in node:
            yield from inside(item, key)


def kept_headers(cluster: dict[str, Any], names: Iterable[str]) -> set[str]:
    """Return those of `names` that go to the provider."""
    (mutation,) = next(inside(cluster, "request_mutations"))
    others = mutation["remove_on_match"]["key_matcher"]["safe_regex"]["regex"]
    return {name for name in names if not re.fullmatch(others, name)}


def binary() -> Path:
    found = find_envoy()
    assert found is not None, "tests need the extra `local`"
    return found


def envoy_error(files: dict[str, RenderedFile]) -> str | None:
    """Returns Envoy's reason to refuse the files, or None if it accepts them."""
    try:
        validate_with_envoy(binary(), files)
    except RenderError as error:
        return str(error)
    return None


PLANS = {
    "plain": plan(),
    "no key": plan(provider(key=None)),
    "client's own key": plan(provider(key=None, passthrough=True)),
    "path by the filter": plan(provider(prefix=None)),
    "no path": plan(provider(prefix="")),
    "in a container": replace(
        plan(
            provider(), replace(provider("near"), upstream=Upstream("near", (Address("host", 1),), 1, local_names=True))
        ),
        listeners=(Listener("ingress", Address("::1", 7000), bind=(Address("0.0.0.0", 10000),)),),  # noqa: S104
    ),
    "own Triton": plan(replace(provider(prefix=None), upstream=Upstream("own", (Pipe("/run dir/triton/http"),), 1))),
    "traced": plan(tracing=Tracing(Upstream("otlp", (Address("collector", 4317),), 1000), 12.5)),
}


def test_envoy_listens_on_the_bind_addresses() -> None:
    listeners = resources(render(PLANS["in a container"]), "lds")
    assert listeners["ingress"]["address"]["socket_address"] == {"address": "0.0.0.0", "port_value": 10000}  # noqa: S104


def test_local_names_use_getaddrinfo_every_second() -> None:
    clusters = resources(render(PLANS["in a container"]), "cds")
    near, far = (clusters[name]["cluster_type"]["typed_config"] for name in ("near", "provider_openai"))
    assert near["typed_dns_resolver_config"]["name"] == "envoy.network.dns_resolver.getaddrinfo"
    assert near["dns_refresh_rate"] == near["dns_failure_refresh_rate"]["max_interval"] == "1s"
    assert "respect_dns_ttl" not in near
    assert far["respect_dns_ttl"]
    assert "typed_dns_resolver_config" not in far


@pytest.mark.parametrize("name", PLANS)
def test_envoy_accepts_all_kinds_of_plans(name: str) -> None:
    files = render(PLANS[name])
    validate_types(files)
    assert envoy_error(files) is None


@pytest.mark.parametrize("name", TRITONS)
def test_envoy_accepts_all_remote_triton_schemes(name: str, tmp_path: Path) -> None:
    authority, client = trustme.CA(), trustme.CA().issue_cert("gateway.test")
    ca, cert, key = (tmp_path / name for name in ("ca", "cert", "key"))
    authority.cert_pem.write_to_path(ca)
    client.cert_chain_pems[0].write_to_path(cert)
    client.private_key_pem.write_to_path(key)
    files = render(plan(triton=replace(TRITONS[name], ca=ca, cert=cert, key=key)))
    validate_types(files)
    assert envoy_error(files) is None


def test_remote_triton_has_a_cluster_and_an_internal_route_only() -> None:
    subject = replace(remote(), ca=Path("/pem/ca"), cert=Path("/pem/cert"), key=Path("/pem/key"))
    files = render(plan(triton=subject))
    cluster = resources(files, "cds")["triton_remote"]
    tls = cluster["transport_socket"]["typed_config"]
    assert tls["sni"] == "triton.internal"
    assert tls["common_tls_context"] == {
        "alpn_protocols": ["h2"],
        "tls_certificates": [{"certificate_chain": {"filename": "/pem/cert"}, "private_key": {"filename": "/pem/key"}}],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "validation_context": {
            "trusted_ca": {"filename": "/pem/ca"},
            "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "triton.internal"}}],
        },
    }
    assert cluster["outlier_detection"]["consecutive_local_origin_failure"] == 1
    route = resources(files, "rds_internal")["internal"]["virtual_hosts"][0]["routes"][-2]
    assert route["match"]["headers"] == [{"name": "x-arch-upstream", "string_match": {"exact": "triton_remote"}}]
    assert (route["route"]["timeout"], route["route"]["host_rewrite_literal"]) == ("0s", "triton.internal")
    # Timeouts are not retried: neither per_try_timeout nor 504 occurs.
    assert "per_try_timeout" not in route["route"]["retry_policy"]
    assert route["route"]["retry_policy"]["retriable_status_codes"] == [502, 503]
    for name in ("rds_ingress", "rds_egress"):
        assert "triton_remote" not in files[f"envoy/{name}.yaml"].text


@pytest.mark.parametrize(
    ("scheme", "codec"),
    [
        ("grpc", "http2_protocol_options"),
        ("grpcs", "http2_protocol_options"),
        ("http", "http_protocol_options"),
        ("https", "http_protocol_options"),
    ],
)
def test_kserve_grpc_uses_http2_and_kserve_http_uses_http1(scheme: str, codec: str) -> None:
    cluster = resources(render(plan(triton=remote(scheme))), "cds")["triton_remote"]
    assert list(next(inside(cluster, "explicit_http_config"))) == [codec]
    assert ("transport_socket" in cluster) == scheme.endswith("s")


@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-team-key"])
def test_injects_the_remote_triton_key_from_its_secret_file(header: str) -> None:
    files = render(plan(provider(key=None), triton=remote(header=header, key="the-triton-key")))
    assert [name for name, each in files.items() if "the-triton-key" in each.text] == ["secrets/triton_remote.yaml"]
    assert files["secrets/triton_remote.yaml"].mode == 0o600
    cluster = resources(files, "cds")["triton_remote"]
    names = [each["name"].rpartition(".")[2] for each in next(inside(cluster, "http_filters"))]
    assert names == ["header_mutation", "credential_injector", "upstream_codec"]
    mutations = next(inside(cluster, "request_mutations"))
    assert set(CREDENTIAL_HEADERS) <= {each.get("remove") for each in mutations}
    [injected] = inside(cluster, "header_value_prefix")
    assert injected == ("Bearer " if header == "authorization" else "")


def test_access_log_omits_model_calls() -> None:
    (log,) = next(inside(resources(render(plan(triton=remote())), "lds")["internal"], "access_log"))
    assert next(inside(log["filter"], "expression")) == "xds.route_name != 'triton_remote'"


def test_hostile_values_are_quoted() -> None:
    subject = plan(provider(HOSTILE, key=HOSTILE.replace("\u2028", "").replace("\x85", "")))
    files = render(subject)
    validate_types(files)
    route = provider_routes(files, "ingress")[0]
    assert route["match"]["headers"][0]["string_match"] == {"exact": f"provider_{HOSTILE}"}
    # Doubled, because Envoy expands %...% in header values.
    assert route["response_headers_to_add"][0]["header"]["value"] == HOSTILE.replace("%", "%%")
    assert f"provider_{HOSTILE}" in resources(files, "cds")
    [secret] = [file for name, file in files.items() if name.startswith("secrets/provider_")]
    value = yaml.safe_load(secret.text)["resources"][0]["generic_secret"]["secret"]["inline_string"]
    assert value == subject.providers[0].credential.value  # type: ignore[union-attr]


def test_secret_name_cannot_escape_its_folder() -> None:
    files = render(plan(provider("../../etc/x")))
    assert "secrets/provider_..%2F..%2Fetc%2Fx.yaml" in files


@pytest.mark.parametrize("key", ["", "sk\r\nx-admin: 1", "sk\0"])
def test_rejects_an_invalid_header_value_without_showing_it(key: str) -> None:
    with pytest.raises(RenderError, match="openai") as caught:
        render(plan(provider(key=key)))
    assert "x-admin" not in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "file"),
    [(KEY, "secrets/provider_openai.yaml"), (HEADER, "secrets/target_secretive%3Aauthorization.yaml")],
)
def test_key_is_only_in_its_secret_file(secret: str, file: str) -> None:
    files = render(plan())
    assert [name for name, each in files.items() if secret in each.text] == [file]
    assert secret not in repr(files)
    assert secret not in repr(plan())


def test_each_api_call_has_a_route_with_its_timeout() -> None:
    weather, secretive, rest = resources(render(plan()), "rds_internal")["internal"]["virtual_hosts"][0]["routes"]
    for route, call in zip((weather, secretive), plan().calls, strict=True):
        assert route["match"]["headers"] == [{"name": "x-arch-upstream", "string_match": {"exact": call.name}}]
        assert route["route"]["cluster"] == call.cluster
    assert weather["route"]["timeout"] == "2.500s"
    assert "gateway-error" not in weather["route"]["retry_policy"]["retry_on"]
    retries = secretive["route"]["retry_policy"]
    assert (secretive["route"]["timeout"], retries["per_try_timeout"], retries["num_retries"]) == (
        "1.750s",
        "0.500s",
        2,
    )
    assert rest["direct_response"]["status"] == 404


def test_target_headers_overwrite_those_of_a_call() -> None:
    cluster = resources(render(plan()), "cds")["target_secretive"]
    filters = next(inside(cluster, "http_filters"))
    injectors = [each["typed_config"] for each in filters if each["name"].endswith("credential_injector")]
    assert [each["overwrite"] for each in injectors] == [True, True]
    assert [each["credential"]["typed_config"]["header"] for each in injectors] == ["authorization", "x-tenant"]
    assert filters[-1]["name"] == "envoy.filters.http.upstream_codec"


def test_secrets_are_never_readable_by_others(tmp_path: Path) -> None:
    RenderedFiles(render(plan())).write(tmp_path)
    secrets = tmp_path / "secrets"
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets.iterdir()} == {0o600}


def test_removes_foreign_credentials_before_adding_the_key() -> None:
    cluster = resources(render(plan()), "cds")["provider_openai"]
    assert kept_headers(cluster, CREDENTIAL_HEADERS) == set()
    names = [each["name"].rpartition(".")[2] for each in next(inside(cluster, "http_filters"))]
    assert names == ["header_mutation", "credential_injector", "upstream_codec"]
    # With it, a request without a usable key would carry the client's key.
    assert not list(inside(cluster, "allow_request_without_credential"))


def test_passthrough_keeps_only_the_authorization_header() -> None:
    cluster = resources(render(plan(provider(key=None, passthrough=True))), "cds")["provider_openai"]
    assert kept_headers(cluster, CREDENTIAL_HEADERS) == {"authorization"}


def test_removes_forged_headers_but_not_the_provider_hint() -> None:
    listeners = resources(render(plan()), "lds")
    for name in ("ingress", "egress"):
        mutations = next(inside(next(inside(listeners[name], "early_header_mutation_extensions")), "mutations"))
        removed = {each["remove"] for each in mutations if "remove" in each}
        matchers = [each["remove_on_match"]["key_matcher"] for each in mutations if "remove_on_match" in each]
        prefixes = {each["prefix"] for each in matchers if "prefix" in each}
        assert {"x-arch-upstream", "x-arch-llm-provider", "x-arch-prompt-target", "x-arch-intent-drift"} <= removed
        assert "x-envoy-" in prefixes
        assert not any(
            "x-arch-llm-provider-hint".startswith(prefix) for prefix in prefixes | (removed - {"x-arch-llm-provider"})
        )


def test_request_without_a_chosen_provider_gets_503() -> None:
    routes = resources(render(plan()), "rds_ingress")["ingress"]["virtual_hosts"][0]["routes"]
    for route in routes:
        if "route" in route:
            assert any(each["name"] == "x-arch-upstream" for each in route["match"]["headers"])
    assert [route["direct_response"]["status"] for route in routes if route["name"] == "chat"] == [503]


def test_verifies_upstream_certificates() -> None:
    cluster = resources(render(plan()), "cds")["provider_openai"]
    tls = cluster["transport_socket"]["typed_config"]
    validation = tls["common_tls_context"]["validation_context"]
    assert tls["sni"] == "api.openai.com"
    assert Path(validation["trusted_ca"]["filename"]).is_file()
    assert validation["match_typed_subject_alt_names"] == [{"san_type": "DNS", "matcher": {"exact": "api.openai.com"}}]


def test_dns_does_not_delay_the_start() -> None:
    clusters = resources(render(plan()), "cds")
    assert clusters["provider_openai"]["cluster_type"]["name"] == "envoy.clusters.dns"
    assert clusters["provider_openai"]["wait_for_warm_on_init"] is False
    assert clusters["endpoint_api"]["type"] == "STATIC"


def test_responses_have_an_idle_timeout_but_no_total_timeout() -> None:
    edited, passing = (each["route"] for each in provider_routes(render(plan()), "egress"))
    assert (passing["timeout"], passing["idle_timeout"]) == ("0s", "1.500s")
    # The filter itself ends an edited stream after 1.5 s.
    assert (edited["timeout"], edited["idle_timeout"]) == ("0s", "3.500s")


def test_admin_and_internal_sockets_are_private() -> None:
    files = render(plan())
    admin = yaml.safe_load(files["envoy/bootstrap.yaml"].text)["admin"]["address"]["pipe"]
    internal = resources(files, "lds")["internal"]["address"]["pipe"]
    assert admin["mode"] == internal["mode"] == 0o600


def test_access_log_has_no_query_and_no_credential() -> None:
    text = render(plan())["envoy/lds.yaml"].text
    for listener in yaml.safe_load(text)["resources"]:
        for line in inside(listener, "json_format"):
            if "request_id" in line:
                assert not any(word in str(line).upper() for word in ("AUTHORIZATION", "COOKIE", "REQ(:PATH)", "BODY("))


def test_local_replies_never_show_response_code_details() -> None:
    # Envoy's own texts are for the log only.
    for listener in resources(render(plan()), "lds").values():
        assert "%RESPONSE_CODE_DETAILS%" not in str(next(inside(listener, "local_reply_config")))

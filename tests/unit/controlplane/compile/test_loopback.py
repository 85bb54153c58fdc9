"""`localhost` in a file, compiled for containers: it means the machine around them. Nothing else changes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import Address, Gateway, Loopback, Pipe, TargetEnvironment, TritonSockets, Upstream
from controlplane.config.arch_config import ArchConfig
from controlplane.config.model_serving import Mode
from extproc.shared.filter_config import Place

HERE = TargetEnvironment(TritonSockets("h", "g"), workers=1, internal_socket="i", reload_lock="r", mode=Mode.REMOTE)
CONTAINER_LAYOUT = replace(
    HERE,
    triton=TritonSockets("/run/http", "/run/grpc"),
    loopback=Loopback("engine", services={18083: Address("weather-api", 18083)}),
    listen_addresses={"ingress": Address("0.0.0.0", 10000), "egress": Address("0.0.0.0", 12000)},  # noqa: S104
)
LOOPBACKS = (
    *("localhost", "LocalHost", "localhost.", "api.localhost", "127.0.0.1", "127.8.9.10", "0.0.0.0"),  # noqa: S104
    *("[::1]", "[::]", "[::ffff:127.0.0.1]"),
)
OTHERS = (
    "api.example.com",
    "10.0.0.1",
    "192.168.1.5",
    "localhost.example.com",
    "mylocalhost",
    "[fe80::1]",
    "128.0.0.1",
)


def document(host: str) -> dict[str, Any]:
    """A file that says `host` at each key that may name a server."""
    return {
        "version": "v1",
        "endpoints": {
            "plain": {"endpoint": [f"{host}:81", "api.internal:82"]},
            "secure": {"endpoint": f"{host}:8443", "protocol": "https"},
        },
        "llm_providers": [
            {"name": "plain", "provider": "openai_compatible", "model": "m", "base_url": f"http://{host}:83/v1"},
            {"name": "secure", "provider": "openai_compatible", "model": "m", "base_url": f"https://{host}/v1"},
        ],
        "prompt_targets": [
            {
                "name": "t",
                "description": "d",
                "endpoint": {"name": "secure", "http_headers": {"x-key": "k"}},
            }
        ],
        "model_serving": {"remote": {"url": [f"grpcs://{host}:84", "grpcs://triton.internal:85"]}},
        "tracing": {"collector": f"http://{host}:86"},
    }


def compiled(written: dict[str, Any], environment: TargetEnvironment) -> Gateway:
    return compile_gateway(ArchConfig.model_validate_json(json.dumps(written)), environment)


def upstreams(gateway: Gateway) -> Iterator[Upstream]:
    envoy = gateway.envoy
    assert envoy.remote
    assert envoy.tracing
    yield from (each.upstream for each in envoy.providers)
    yield from (each.upstream for each in envoy.apis)
    yield from (envoy.remote.upstream, envoy.tracing.collector)


@pytest.mark.parametrize("host", LOOPBACKS)
def test_localhost_keys_mean_the_engines_machine(host: str) -> None:
    gateway = compiled(document(host), CONTAINER_LAYOUT)
    found = {each.cluster: each.addresses for each in upstreams(gateway)}
    assert found == {
        "provider_plain": (Address("engine", 83),),
        "provider_secure": (Address("engine", 443),),
        "endpoint_plain": (Address("engine", 81), Address("api.internal", 82)),
        "endpoint_secure": (Address("engine", 8443),),
        "target_t": (Address("engine", 8443),),
        "triton_remote": (Address("engine", 84), Address("triton.internal", 85)),
        "otlp_collector": (Address("engine", 86),),
    }
    assert all(each.local_names for each in upstreams(gateway))


@pytest.mark.parametrize("host", LOOPBACKS)
def test_loopback_keys_name_key_and_address(host: str) -> None:
    shown = host.lower() if host == "LocalHost" else host
    assert [line.lower() for line in compiled(document(host), CONTAINER_LAYOUT).loopback_keys] == [
        f"endpoints.plain.endpoint {shown}:81",
        f"endpoints.secure.endpoint {shown}:8443",
        f"llm_providers.plain.base_url {shown}:83",
        f"llm_providers.secure.base_url {shown}:443",
        f"model_serving.remote.url {shown}:84",
        f"tracing.collector {shown}:86",
    ]


@pytest.mark.parametrize("host", LOOPBACKS)
def test_server_names_are_not_rewritten(host: str) -> None:
    here, inside = compiled(document(host), HERE), compiled(document(host), CONTAINER_LAYOUT)
    assert [each.tls_server_name for each in upstreams(inside)] == [each.tls_server_name for each in upstreams(here)]
    assert inside.envoy.calls == here.envoy.calls
    assert [each.authority for each in inside.envoy.providers] == [each.authority for each in here.envoy.providers]
    assert inside.envoy.remote
    assert here.envoy.remote
    assert inside.envoy.remote.authority == here.envoy.remote.authority


@pytest.mark.parametrize("host", OTHERS)
def test_other_addresses_are_not_rewritten(host: str) -> None:
    here, inside = compiled(document(host), HERE), compiled(document(host), CONTAINER_LAYOUT)
    assert [each.addresses for each in upstreams(inside)] == [each.addresses for each in upstreams(here)]
    assert inside.loopback_keys == ()


@pytest.mark.parametrize("host", LOOPBACKS)
def test_localhost_is_unchanged_outside_containers(host: str) -> None:
    gateway = compiled(document(host), HERE)
    assert gateway.loopback_keys == ()
    assert not any(each.local_names for each in upstreams(gateway))
    assert all("engine" not in repr(address) for each in upstreams(gateway) for address in each.addresses)


def test_names_without_a_dot_are_local_names() -> None:
    written = document("localhost")
    written["endpoints"] = {"plain": {"endpoint": "api:80"}, "secure": {"endpoint": "api.example.com"}}
    found = {each.cluster: each for each in upstreams(compiled(written, CONTAINER_LAYOUT))}
    assert found["endpoint_plain"] == Upstream("endpoint_plain", (Address("api", 80),), 5000, None, local_names=True)
    assert not found["endpoint_secure"].local_names


def test_loopback_port_of_a_service_is_rewritten_to_that_service() -> None:
    written = document("localhost")
    written["endpoints"] = {"plain": {"endpoint": "127.0.0.1:18083"}, "secure": {"endpoint": "api.example.com:18083"}}
    gateway = compiled(written, CONTAINER_LAYOUT)
    found = {each.cluster: each.addresses for each in upstreams(gateway)}
    assert found["endpoint_plain"] == (Address("weather-api", 18083),)
    assert found["endpoint_secure"] == (Address("api.example.com", 18083),)
    assert not any("endpoints" in line for line in gateway.loopback_keys)


def test_vendor_default_localhost_means_the_engines_machine() -> None:
    written = {"version": "v1", "llm_providers": [{"name": "llama", "provider": "ollama", "model": "m"}]}
    gateway = compiled(written, replace(CONTAINER_LAYOUT, mode=Mode.LOCAL_CPU))
    assert gateway.envoy.providers[0].upstream.addresses == (Address("engine", 11434),)
    assert gateway.envoy.providers[0].authority == "127.0.0.1:11434"
    assert gateway.loopback_keys == ("llm_providers.llama.provider 127.0.0.1:11434",)


def test_local_triton_sockets_are_not_rewritten() -> None:
    written = {"version": "v1", "llm_providers": [{"name": "local", "provider": "triton", "model": "chat"}]}
    gateway = compiled(written, replace(CONTAINER_LAYOUT, mode=Mode.LOCAL_CPU))
    upstream = gateway.envoy.providers[0].upstream
    assert upstream.addresses == (Pipe("/run/http"),)
    assert not upstream.local_names
    assert gateway.filter_config.inference
    assert gateway.filter_config.inference.servers[Place.LOCAL].address == "unix:/run/grpc"
    assert gateway.loopback_keys == ()


def test_envoy_binds_container_addresses_and_publishes_the_files() -> None:
    written = document("localhost") | {"listeners": {"ingress": {"address": "::1", "port": 7000}}}
    listeners = {each.name: each for each in compiled(written, CONTAINER_LAYOUT).envoy.listeners}
    assert listeners["ingress"].address == Address("::1", 7000)
    assert listeners["ingress"].bind == (Address("0.0.0.0", 10000),)  # noqa: S104
    assert listeners["egress"].address == Address("127.0.0.1", 12000)
    assert all(each.bind == (each.address,) for each in compiled(written, HERE).envoy.listeners)


@pytest.mark.parametrize(
    ("address", "ipv6", "hosts"),
    [
        ("localhost", True, ("127.0.0.1", "::1")),
        ("localhost", False, ("127.0.0.1",)),
        ("::", True, ("0.0.0.0", "::")),  # noqa: S104
        ("::1", True, ("::1",)),
        ("0.0.0.0", True, ("0.0.0.0",)),  # noqa: S104
    ],
)
def test_localhost_and_all_addresses_cover_ipv4_and_ipv6(address: str, ipv6: bool, hosts: tuple[str, ...]) -> None:
    written = document("localhost") | {"listeners": {"ingress": {"address": address}}}
    expected = tuple(Address(host, 10000) for host in hosts)
    here, inside = (
        next(
            each
            for each in compiled(written, replace(environment, ipv6=ipv6)).envoy.listeners
            if each.name == "ingress"
        )
        for environment in (HERE, CONTAINER_LAYOUT)
    )
    assert (here.bind, here.published) == (expected, ())
    assert inside.published == expected
    # Only a loopback listener is limited to loopback names.
    assert (here.hosts is None) == (address not in {"localhost", "::1"})

"""A plan with one of everything, for tests of rendering."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from controlplane.compile.plans import (
    Address,
    ApiCluster,
    CallRoute,
    Credential,
    EnvoyPlan,
    Listener,
    ProviderRoute,
    RemoteTriton,
    Tracing,
    Upstream,
)
from controlplane.render.ca_bundle import ca_bundle
from controlplane.render.gateway_files import render_envoy
from controlplane.render.rendered_files import RenderedFile
from controlplane.render.run_layout import RunLayout

KEY: Final = "sk-very-secret"
HEADER: Final = "Bearer also-very-secret"
HOSTS: Final = (Address("10.0.0.1", 80), Address("::1", 81))
LAYOUT: Final = RunLayout(Path("/run/archgw-test"))


def listener(name: str, port: int, host: str = "127.0.0.1") -> Listener:
    return Listener(name, Address(host, port), bind=(Address(host, port),))


def provider(
    name: str = "openai", *, key: str | None = KEY, passthrough: bool = False, prefix: str | None = "/v1"
) -> ProviderRoute:
    cluster = f"provider_{name}"
    return ProviderRoute(
        name=name,
        upstream=Upstream(cluster, (Address("api.openai.com", 443),), 5000, "api.openai.com"),
        authority="api.openai.com",
        path_prefix=prefix,
        credential=None if key is None else Credential(cluster, "authorization", "Bearer ", key),
        passthrough_auth=passthrough,
        idle_timeout_ms=1500,
    )


def remote(scheme: str = "grpcs", header: str = "authorization", key: str | None = KEY) -> RemoteTriton:
    secure = scheme in {"grpcs", "https"}
    prefix = "Bearer " if header == "authorization" else ""
    return RemoteTriton(
        upstream=Upstream(
            "triton_remote", (Address("triton.internal", 443),), 1000, "triton.internal" if secure else None
        ),
        authority="triton.internal",
        grpc=scheme.startswith("grpc"),
        credential=None if key is None else Credential("triton_remote", header, prefix, key),
    )


def plan(*providers: ProviderRoute, tracing: Tracing | None = None, triton: RemoteTriton | None = None) -> EnvoyPlan:
    return EnvoyPlan(
        listeners=(listener("ingress", 10000, "0.0.0.0"), listener("egress", 12000)),  # noqa: S104
        providers=providers or (provider(),),
        apis=(
            ApiCluster(Upstream("endpoint_api", HOSTS, 1000)),
            ApiCluster(
                Upstream("target_secretive", HOSTS, 1000),
                (
                    Credential("target_secretive:authorization", "authorization", "", HEADER),
                    Credential("target_secretive:x-tenant", "x-tenant", "", "blue"),
                ),
            ),
        ),
        calls=(
            CallRoute("target_weather", "endpoint_api", "api.internal", attempt_ms=2500, timeout_ms=2500),
            CallRoute(
                "target_secretive", "target_secretive", "api.internal", attempt_ms=500, timeout_ms=1750, retries=2
            ),
        ),
        workers=2,
        max_request_bytes=1234,
        tracing=tracing,
        remote=triton,
    )


def render(subject: EnvoyPlan) -> dict[str, RenderedFile]:
    return render_envoy(subject, LAYOUT, 75_000, ca_bundle())

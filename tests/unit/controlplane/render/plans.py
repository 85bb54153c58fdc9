"""A plan with one of everything, for the tests of rendering."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from controlplane.compile.plans import (
    Address,
    Credential,
    EndpointRoute,
    EnvoyPlan,
    Listener,
    ProviderRoute,
    Tracing,
    Upstream,
)
from controlplane.render.files import File, render_envoy
from controlplane.render.trust import ca_file
from controlplane.runtime.layout import RunLayout

KEY: Final = "sk-very-secret"
LAYOUT: Final = RunLayout(Path("/run/archgw-test"))


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


def plan(*providers: ProviderRoute, tracing: Tracing | None = None) -> EnvoyPlan:
    return EnvoyPlan(
        listeners=(Listener("ingress", Address("0.0.0.0", 10000)), Listener("egress", Address("127.0.0.1", 12000))),  # noqa: S104
        providers=providers or (provider(),),
        endpoints=(
            EndpointRoute(
                "api",
                Upstream("endpoint_api", (Address("10.0.0.1", 80), Address("::1", 81)), 1000),
                "api.internal",
                2500,
            ),
        ),
        workers=2,
        max_request_bytes=1234,
        tracing=tracing,
    )


def render(subject: EnvoyPlan) -> dict[str, File]:
    return render_envoy(subject, LAYOUT, 75_000, ca_file())

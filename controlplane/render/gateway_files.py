"""Renders the plans of a gateway as files: Envoy's configuration, filter.json, Triton's model repository. Pure.

Called by `archgw render` and by the runtime.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from controlplane.compile.api_calls import BACKOFF_MS
from controlplane.compile.plans import EnvoyPlan, Gateway
from controlplane.errors import RenderError
from controlplane.render.ca_bundle import ca_bundle
from controlplane.render.header_allowlists import (
    INGRESS_REQUEST,
    INGRESS_RESPONSE,
    provider_request,
    provider_response,
)
from controlplane.render.model_repository import link_custom_models, render_repository
from controlplane.render.rendered_files import SECRET, RenderedFile, RenderedFiles
from controlplane.render.run_layout import RunLayout
from controlplane.render.templates import render_template, secret_file
from extproc.shared.filter_config import dump

# Headers that a client must not be able to forge. The prefixes x-envoy- and x-archgw- are removed as well.
FORGED_HEADERS: Final = (
    "x-arch-upstream",
    "x-arch-llm-provider",
    "x-arch-prompt-target",
    "x-arch-intent-drift",
    "x-arch-degraded",
    "x-arch-timing",
)

# Headers that may carry a credential. An API or the remote Triton receives only the ones that are configured for it.
CREDENTIAL_HEADERS: Final = (
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
)

# Bodies of this size and more go to the worker for large bodies. Envoy retries only smaller ones on another worker.
_LARGE_BODY_BYTES: Final = 64 << 10
# JSON in UTF-8: the only text that the guards can read.
_JSON_MEDIA_TYPE: Final = r'(?i)\s*application/json\s*(;\s*charset\s*=\s*("utf-?8"|utf-?8)\s*)?;?\s*'

# Below the usual limit of open files (a proxied request needs two), and above the capacity of one Python filter.
_MAX_CONNECTIONS: Final = 10_000

# Concurrent HTTP/2 streams per connection. SDKs and proxies open another connection when they need more.
_MAX_STREAMS: Final = 32
# Bytes that Envoy buffers, on each side, of a response that its client does not read.
_BUFFERED_BYTES: Final = 32 * 1024
# How long a complete response waits for a client that reads nothing.
_FLUSH_MS: Final = 30_000

# Extra time before Envoy's idle timeout of a provider. So the filter's own timeout comes first: the filter can end the
# stream with an error event, and Envoy cannot.
_SILENCE_GRACE_MS: Final = 2_000

# Extra time after the filter's own deadline before Envoy answers 504 itself.
_GRACE_MS: Final = 15_000


def render(
    gateway: Gateway, layout: RunLayout, *, ca_file: Path | None = None, prepared: Path | None = None
) -> RenderedFiles:
    """Return all files of `gateway`. Their paths are those of the machine, or of the container, that reads them.

    `ca_file`: bundle of certificate authorities; None: this machine's. `prepared`: folder of the models from packages;
    None: this user's cache.
    """
    deadline_ms = gateway.filter_config.request_timeout_ms + _GRACE_MS
    files = render_envoy(gateway.envoy, layout, deadline_ms, ca_file or ca_bundle())
    files["filter.json"] = RenderedFile(dump(gateway.filter_config).decode() + "\n")
    for name, text in render_repository(gateway.models, prepared).items():
        files[f"models/{name}"] = RenderedFile(text)
    return RenderedFiles(
        files, {f"models/{name}": target for name, target in link_custom_models(gateway.models).items()}
    )


def render_envoy(plan: EnvoyPlan, layout: RunLayout, deadline_ms: int, ca_file: Path) -> dict[str, RenderedFile]:
    """Return Envoy's files, secrets included. `deadline_ms`: stream idle timeout until a provider route is chosen."""
    values = {
        "plan": plan,
        "layout": layout,
        "ca_file": ca_file,
        "stream_idle_ms": deadline_ms,
        "max_connections": _MAX_CONNECTIONS,
        "max_streams": _MAX_STREAMS,
        "buffered_bytes": _BUFFERED_BYTES,
        "flush_ms": _FLUSH_MS,
        "silence_grace_ms": _SILENCE_GRACE_MS,
        "socket_mode": SECRET,
        "forged_headers": FORGED_HEADERS,
        "credential_headers": CREDENTIAL_HEADERS,
        "json_media_type": _JSON_MEDIA_TYPE,
        "large_body_bytes": _LARGE_BODY_BYTES,
        # With tracing, our spans and the calls to APIs continue the client's trace. Without tracing, it is dropped.
        "ingress_request": (*INGRESS_REQUEST, "traceparent") if plan.tracing else INGRESS_REQUEST,
        "ingress_response": INGRESS_RESPONSE,
        "provider_request": provider_request,
        "provider_response": provider_response,
        "max_backoff_ms": BACKOFF_MS,
    }
    names = ["bootstrap", "lds", "cds", "rds_internal"] + [f"rds_{listener.name}" for listener in plan.listeners]
    files = {f"envoy/{name}.yaml": RenderedFile(render_template(f"{name}.yaml.j2", values)) for name in names}
    for credential in plan.credentials:
        # Envoy copies the value into a header unchecked: a line break in it would start another header.
        if not credential.value.isprintable() or not credential.value:
            raise RenderError(
                f"the secret {credential.secret_name!r} is empty or has a character that no header may carry"
            )
        files[f"secrets/{secret_file(credential.secret_name)}"] = RenderedFile(
            render_template("secret.yaml.j2", {"credential": credential}), SECRET
        )
    return files

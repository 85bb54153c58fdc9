"""Plans -> the text of every file that a gateway runs from. `render` is pure; `write` is the edge.

Called by `archgw render` and by the runtime.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controlplane.compile.api_calls import BACKOFF_MS
from controlplane.compile.plans import EnvoyPlan, Gateway
from controlplane.errors import RenderError
from controlplane.render.atomic import write_file, write_link
from controlplane.render.header_lists import INGRESS_REQUEST, INGRESS_RESPONSE, provider_request, provider_response
from controlplane.render.model_repository import link_custom_models, render_repository
from controlplane.render.templates import fill, secret_file
from controlplane.render.trust import ca_file
from controlplane.runtime.layout import RunLayout
from extproc.shared.filter_config import dump

READABLE: Final = 0o644
SECRET: Final = 0o600

# Contract: headers that a client must not be able to forge. Prefixes x-envoy- and x-archgw- are removed as well.
FORGED_HEADERS: Final = (
    "x-arch-upstream",
    "x-arch-llm-provider",
    "x-arch-prompt-target",
    "x-arch-intent-drift",
    "x-arch-degraded",
    "x-arch-timing",
)

# Whatever may carry somebody's credential. None reaches an API or the remote Triton unless it is that one's own.
CREDENTIAL_HEADERS: Final = (
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
)

# From this length on a body has a worker of its own. Envoy repeats no longer one on another worker.
_LARGE_BODY_BYTES: Final = 64 << 10
# JSON in UTF-8, which is what the guards read.
_JSON_MEDIA_TYPE: Final = r'(?i)\s*application/json\s*(;\s*charset\s*=\s*("utf-?8"|utf-?8)\s*)?;?\s*'

# Under the usual limit of open files (two a proxied request), over what one Python filter can serve.
_MAX_CONNECTIONS: Final = 10_000

# Of HTTP/2, on one connection. SDKs open another one, proxies too.
_MAX_STREAMS: Final = 32
# How much of an answer is held where its client does not read, on each side of Envoy.
_BUFFERED_BYTES: Final = 32 * 1024
# How long a complete answer waits for a client that reads nothing of it.
_FLUSH_MS: Final = 30_000

# How much longer than the filter Envoy waits for a silent provider: until then the filter can end the stream better.
_SILENCE_GRACE_MS: Final = 2_000

# How much longer than the filter's own deadline Envoy waits before it answers 504 itself.
_GRACE_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class File:
    """One rendered file: what it says, and who may read it."""

    text: str
    mode: int = READABLE

    def __repr__(self) -> str:
        # A secret's text must not show up in a traceback or an assertion.
        return f"File({len(self.text)} characters, mode={self.mode:o})"


@dataclass(frozen=True, slots=True)
class Rendered:
    """Every file of one gateway by its path under the run directory, and where each link leads."""

    files: Mapping[str, File]
    links: Mapping[str, Path] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        """Write each file that says something else now, atomically, under `root`.

        A secret's folder is closed to others before the secret is in it.
        """
        root.mkdir(parents=True, exist_ok=True)
        for name, file in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if file.mode == SECRET:
                path.parent.chmod(0o700)
            if not _is_written(path, file):
                write_file(path, file.text, file.mode)
        for name, target in self.links.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            write_link(root / name, target)


def _is_written(path: Path, file: File) -> bool:
    """Whether `path` says so already. What is written anew, Envoy reads anew."""
    try:
        return path.stat().st_mode & 0o777 == file.mode and path.read_bytes() == file.text.encode()
    except FileNotFoundError:
        return False


def render(
    gateway: Gateway, layout: RunLayout, *, trusted: Path | None = None, prepared: Path | None = None
) -> Rendered:
    """The files of `gateway`. Paths in them are those of the machine, or the container, that reads them.

    `trusted`: bundle of certificate authorities, by default this machine's. `prepared`: the folder of the models that
    come from packages, by default this user's cache.
    """
    deadline_ms = gateway.filter_config.request_timeout_ms + _GRACE_MS
    files = render_envoy(gateway.envoy, layout, deadline_ms, trusted or ca_file())
    files["filter.json"] = File(dump(gateway.filter_config).decode() + "\n")
    for name, text in render_repository(gateway.models, prepared).items():
        files[f"models/{name}"] = File(text)
    return Rendered(files, {f"models/{name}": target for name, target in link_custom_models(gateway.models).items()})


def render_envoy(plan: EnvoyPlan, layout: RunLayout, deadline_ms: int, trusted: Path) -> dict[str, File]:
    """Envoy's share. `deadline_ms`: how long a request may stay silent before it has a route of its own."""
    values = {
        "plan": plan,
        "layout": layout,
        "ca_file": trusted,
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
        # With tracing, an end user's trace goes on in our spans and in the calls to APIs. Without, it goes nowhere.
        "ingress_request": (*INGRESS_REQUEST, "traceparent") if plan.tracing else INGRESS_REQUEST,
        "ingress_response": INGRESS_RESPONSE,
        "provider_request": provider_request,
        "provider_response": provider_response,
        "max_backoff_ms": BACKOFF_MS,
    }
    names = ["bootstrap", "lds", "cds", "rds_internal"] + [f"rds_{listener.name}" for listener in plan.listeners]
    files = {f"envoy/{name}.yaml": File(fill(f"{name}.yaml.j2", values)) for name in names}
    for credential in plan.credentials:
        # Envoy puts the value into a header as it is: a line break in it would begin another header.
        if not credential.value.isprintable() or not credential.value:
            raise RenderError(
                f"the secret {credential.secret_name!r} is empty or has a character that no header may carry"
            )
        files[f"secrets/{secret_file(credential.secret_name)}"] = File(
            fill("secret.yaml.j2", {"credential": credential}), SECRET
        )
    return files

"""Configurations of every shape, compiled and rendered for containers."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import trustme
import yaml

from controlplane.compile.gateway import compile_gateway
from controlplane.compile.plans import Gateway
from controlplane.config.load import load
from controlplane.config.model_serving import Mode
from controlplane.render.files import Rendered
from controlplane.runtime.docker import compose
from controlplane.runtime.docker.compose import Inside
from controlplane.runtime.docker.images import Images, Variant
from controlplane.runtime.docker.site import container_site

KEYS: Final = {"OPENAI": "sk-$ecret-of-the-provider", "TRITON": "sk-secret-of-triton", "API": "secret of the API: $API"}
IMAGES: Final = Images(
    envoy="envoyproxy/envoy:v1",
    extproc="archgw-extproc:1",
    models="archgw-models:1",
    triton="archgw-triton:1-cpu",
    variant=Variant.CPU,
    local=True,
    registry=None,
)
# What speaks to nobody but the gateway's own models.
LOCAL: Final = """\
version: v1
overrides: {filter_workers: 2}
prompt_guards: {input_guards: {jailbreak: {}}}
endpoints: {weather_api: {endpoint: "127.0.0.1:18083"}}
llm_providers: [{name: local, provider: triton, model: chat}]
prompt_targets: [{name: weather, description: The weather, endpoint: {name: weather_api, path: /weather}}]
"""
# What needs no model here, and has a secret of every kind.
REMOTE: Final = """\
version: v1
overrides: {filter_workers: 1}
listeners:
  ingress: {address: 192.0.2.1, port: 7000}
  egress: {address: "::1", port: 7001}
prompt_guards: {input_guards: {jailbreak: {}}}
endpoints: {crm: {endpoint: crm.example.com, protocol: https}}
llm_providers:
- {name: gpt-4.1, provider: openai, model: m, access_key: $OPENAI, default: true}
- {name: llama, provider: ollama, model: m}
prompt_targets:
- name: customer
  description: A customer
  endpoint: {name: crm, path: /customers, http_headers: {X-Api-Key: $API, x-tenant: blue}}
model_serving:
  remote: {url: "grpcs://triton.example.com:443", access_key: $TRITON, tls: {ca: ca.pem, cert: cert.pem, key: key.pem}}
  roles: {embed: {placement: remote}}
"""


@cache
def certificates() -> Mapping[str, bytes]:
    """An authority's certificate, one that it has issued, and the private key of that one."""
    authority = trustme.CA()
    issued = authority.issue_cert("gateway.example.com")
    return {
        "ca.pem": authority.cert_pem.bytes(),
        "cert.pem": issued.cert_chain_pems[0].bytes(),
        "key.pem": issued.private_key_pem.bytes(),
    }


def gateway(text: str, folder: Path, mode: Mode, *, quick_start: bool = False) -> Gateway:
    """`text`, with the certificates that it may name beside it."""
    for name, pem in certificates().items():
        (folder / name).write_bytes(pem)
    path = folder / "arch_config.yaml"
    path.write_text(text)
    loaded = load(path, KEYS)
    gpu = "NVIDIA H200" if mode is Mode.LOCAL_GPU else None
    return compile_gateway(loaded.config, container_site(mode, 2, gpu, quick_start=quick_start), loaded.custom_models)


def inside(folder: Path, **changes: Any) -> Inside:
    trusted = folder / "authorities.crt"
    if not trusted.exists():
        trusted.write_text("the authorities of the operator\n")
    usual = Inside("archgw", user=(1000, 1000), images=IMAGES, salt=b"salt", trusted=trusted)
    return replace(usual, **changes)


def rendered(text: str, folder: Path, mode: Mode, **changes: Any) -> Rendered:
    subject = gateway(text, folder, mode, quick_start=bool(changes.get("quick_start")))
    return compose.render_compose(subject, inside(folder, **changes))


def document(subject: Rendered) -> dict[str, Any]:
    """compose.yaml as data."""
    found = yaml.safe_load(subject.files["compose.yaml"].text)
    assert isinstance(found, dict)
    return found


def services(subject: Rendered) -> dict[str, dict[str, Any]]:
    found = document(subject)["services"]
    assert isinstance(found, dict)
    return found


@cache
def has_compose() -> bool:
    """Whether the `docker` here has the Compose plugin. It needs no engine to read a file."""
    try:
        done = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False)  # noqa: S607
    except FileNotFoundError:
        return False
    return done.returncode == 0

"""Compiles Envoy's upstream for the remote Triton."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from controlplane.compile.plans import Address, Credential, RemoteTriton, Upstream
from controlplane.config.addresses import authority
from controlplane.config.arch_config import ArchConfig
from controlplane.config.remote_triton import AUTHORIZATION, Remote
from extproc.shared.filter_config import Protocol

# Name of Envoy's cluster, route and secret, and value of `x-arch-upstream`. Names of providers and APIs begin with
# "provider_", "endpoint_" or "target_", so they cannot clash.
CLUSTER: Final = "triton_remote"


def protocol(config: ArchConfig) -> Protocol:
    remote = config.model_serving.remote
    return Protocol.GRPC if remote is not None and remote.url[0].grpc else Protocol.HTTP


def compile_remote(remote: Remote) -> RemoteTriton:
    """Returns the upstream. All servers share one name: the certificate's, else the host of the first server."""
    first, tls = remote.url[0], remote.tls
    name = tls.server_name or first.host
    return RemoteTriton(
        upstream=Upstream(
            cluster=CLUSTER,
            addresses=tuple(Address(url.host, url.port) for url in remote.url),
            connect_timeout_ms=remote.connect_timeout,
            tls_server_name=name if first.secure else None,
        ),
        authority=authority(name, first.port, secure=first.secure),
        grpc=first.grpc,
        path_prefix=first.path,
        credential=_credential(remote),
        ca=_path(tls.ca),
        cert=_path(tls.cert),
        key=_path(tls.key),
    )


def _credential(remote: Remote) -> Credential | None:
    if remote.access_key is None:
        return None
    prefix = "Bearer " if remote.header == AUTHORIZATION else ""
    return Credential(CLUSTER, remote.header, prefix, remote.access_key.get_secret_value())


def _path(written: str | None) -> Path | None:
    return Path(written) if written is not None else None

"""Which certificate authorities Envoy believes: the operator's choice, else the system's, else certifi's."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi

from controlplane.errors import RenderError


def ca_bundle() -> Path:
    """A bundle that exists. RenderError where `SSL_CERT_FILE`, the operator's choice, does not."""
    chosen = os.environ.get("SSL_CERT_FILE")
    if chosen:
        if not Path(chosen).is_file():
            raise RenderError(f"SSL_CERT_FILE names {chosen}, which is not a file")
        return Path(chosen).absolute()
    system = ssl.get_default_verify_paths().cafile
    debian = Path("/etc/ssl/certs/ca-certificates.crt")
    if system is not None:
        return Path(system)
    # Pythons that were built elsewhere look in a place that does not exist here.
    return debian if debian.is_file() else Path(certifi.where())

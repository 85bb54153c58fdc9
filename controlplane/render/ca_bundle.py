"""The certificate authorities that Envoy trusts: SSL_CERT_FILE, else the system's bundle, else certifi's."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

import certifi

from controlplane.errors import RenderError


def ca_bundle() -> Path:
    """Return the path of an existing PEM bundle. RenderError if SSL_CERT_FILE names no file."""
    configured = os.environ.get("SSL_CERT_FILE")
    if configured:
        if not Path(configured).is_file():
            raise RenderError(f"SSL_CERT_FILE names {configured}, which is not a file")
        return Path(configured).absolute()
    system = ssl.get_default_verify_paths().cafile
    debian = Path("/etc/ssl/certs/ca-certificates.crt")
    if system is not None:
        return Path(system)
    # A Python that was built on another system looks for the bundle at a path that does not exist here.
    return debian if debian.is_file() else Path(certifi.where())

"""Which certificate authorities Envoy believes: the operator's choice, else the system's, else certifi's."""

from __future__ import annotations

import ssl
from pathlib import Path

import certifi


def ca_file() -> Path:
    """A bundle that exists. `get_default_verify_paths` already honours `SSL_CERT_FILE`, the operator's choice."""
    system = ssl.get_default_verify_paths().cafile
    debian = Path("/etc/ssl/certs/ca-certificates.crt")
    if system is not None:
        return Path(system)
    # Pythons that were built elsewhere look in a place that does not exist here.
    return debian if debian.is_file() else Path(certifi.where())

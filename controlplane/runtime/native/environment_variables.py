"""Environment variables of the processes that archgw starts. Minimal, so that no key of the shell reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controlplane.config.yaml_parser import is_unicode
from controlplane.errors import UsageError

# Set for every process of a gateway and inherited by their children. `gateway_processes` finds them by it.
RUN_MARK: Final = "ARCHGW_RUN_DIR"
# Set for the processes of one service.
SERVICE_MARK: Final = "ARCHGW_PART"

# The matrices are small, and an idle thread of OpenBLAS spins. With one thread per core, the guard spent as much time
# on that as on its models.
THREADS: Final = {"OPENBLAS_NUM_THREADS": "1"}
_PASSED_ON: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    "CUDA_VISIBLE_DEVICES",
    *THREADS,
)


def service_environment(environ: Mapping[str, str], run_dir: str) -> dict[str, str]:
    """Return the allowed variables of `environ` plus the gateway's mark. UsageError if one is not UTF-8."""
    kept = {name: environ[name] for name in _PASSED_ON if environ.get(name)}
    for name, value in kept.items():
        if not is_unicode(value):
            raise UsageError(f"the environment variable {name} holds bytes that are not UTF-8; set it to UTF-8 text")
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        **THREADS,
        **kept,
        "PYTHONUNBUFFERED": "1",
        RUN_MARK: run_dir,
    }

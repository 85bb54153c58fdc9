"""The environment of the processes that we start: minimal, so that no key of the operator's shell reaches them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controlplane.config.yaml_parser import is_unicode
from controlplane.errors import UsageError

# Marks every process of one gateway, and what those start in turn: `processes.of_run` finds them by it.
RUN_MARK: Final = "ARCHGW_RUN_DIR"
# Marks those of them that are one part: the part's process, and what it starts.
PART_MARK: Final = "ARCHGW_PART"

# numpy multiplies small matrices here, and a thread of OpenBLAS that has nothing left to multiply spins: with one for
# each core, the guard spent as much time in that as in its models.
THREADS: Final = {"OPENBLAS_NUM_THREADS": "1"}
_PASSED_ON: Final = (
    *("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
    # Which of the machine's GPUs are this gateway's.
    "CUDA_VISIBLE_DEVICES",
    *THREADS,
)


def clean(environ: Mapping[str, str], run_dir: str) -> dict[str, str]:
    """The variables that a part may see, and the mark of its gateway. UsageError where one is not UTF-8."""
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

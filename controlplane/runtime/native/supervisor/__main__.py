"""`python -m controlplane.runtime.native.supervisor PLAN`. Exits with 0 when told to stop."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path
from typing import Final

from controlplane.runtime.native.supervisor.plan import decode
from controlplane.runtime.native.supervisor.supervise import supervise

_OPEN_FILES: Final = 65_536


def main() -> None:
    os.umask(0o077)
    plan = decode(Path(sys.argv[1]).read_bytes())
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Inherited by the services. Envoy needs two open files per client.
    soft = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    asyncio.run(supervise(plan))


if __name__ == "__main__":
    main()

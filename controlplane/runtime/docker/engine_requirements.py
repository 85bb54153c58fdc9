"""The versions of Docker that archgw needs, checked by `Engine.check`. Pure."""

from __future__ import annotations

import re
from typing import Final

from controlplane.errors import RuntimeFault

ENGINE_AT_LEAST: Final = (20, 10)
COMPOSE_AT_LEAST: Final = (2, 20)

INSTALL_URL: Final = "https://docs.docker.com/engine/install/"


def is_at_least(version: str, least: tuple[int, ...]) -> bool:
    """Compare a version as Docker writes it (`v2.20.2`, `20.10.24+dfsg1`). False if it is not a version."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) >= least


def check_engine(version: str, system: str) -> None:
    """Raise RuntimeFault if the engine is too old, or runs containers of another system than Linux."""
    if not is_at_least(version, ENGINE_AT_LEAST):
        raise RuntimeFault(
            f"the Docker engine is {version}, and archgw needs {_dotted(ENGINE_AT_LEAST)} or newer\n"
            f"Update it ({INSTALL_URL}), or run without containers: --runtime native"
        )
    if system != "linux":
        raise RuntimeFault(
            f"the Docker engine runs containers of {system}, and archgw's are of Linux\n"
            'Docker Desktop changes over with "Switch to Linux containers".'
        )


def check_compose(version: str | None) -> None:
    """Raise RuntimeFault if the Compose plugin is missing (None) or too old."""
    if version is None or not is_at_least(version, COMPOSE_AT_LEAST):
        raise RuntimeFault(compose_message(version))


def compose_message(version: str | None) -> str:
    """Return the message for a Compose plugin that is missing (None) or too old."""
    needed = f"archgw needs the Compose plugin {_dotted(COMPOSE_AT_LEAST)} or newer"
    found = "`docker compose` is missing" if version is None else f"`docker compose` is {version}"
    return (
        f"{found}: {needed} (`docker-compose` with a hyphen is another program)\n"
        "Install it: apt-get install docker-compose-plugin (Docker's packages), docker-compose-v2 (Ubuntu's),\n"
        "or https://docs.docker.com/compose/install/linux/"
    )


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))

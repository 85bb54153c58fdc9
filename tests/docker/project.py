"""The containers, networks and volumes of one gateway, as the engine tells of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from controlplane.render.run_layout import RunLayout
from controlplane.runtime.docker.container_environment import project_name
from tests.docker.engine import docker


class Project:
    """The Compose project of a run directory, whether something of it is there or not."""

    def __init__(self, run_dir: Path) -> None:
        self.name = project_name(RunLayout(run_dir.resolve()))
        self.file = run_dir / "compose.yaml"

    def containers(self) -> dict[str, dict[str, Any]]:
        """What `docker inspect` says, by service."""
        if not (ids := self._found("ps", "--all", "--quiet")):
            return {}
        inspected = json.loads(docker("inspect", *ids))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in inspected}

    def id(self, service: str) -> str:
        return str(self.containers()[service]["Id"])

    def started(self) -> dict[str, tuple[str, str]]:
        """Which container runs for each service, and since when: the same where nobody touched it."""
        return {
            name: (each["Id"], each["State"]["StartedAt"])
            for name, each in self.containers().items()
            if each["State"]["Running"]
        }

    def volumes(self) -> list[str]:
        return self._found("volume", "ls", "--quiet")

    def networks(self) -> list[str]:
        return self._found("network", "ls", "--quiet")

    def _found(self, *command: str) -> list[str]:
        return docker(*command, "--filter", f"label=com.docker.compose.project={self.name}").split()

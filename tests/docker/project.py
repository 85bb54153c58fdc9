"""The containers, networks and volumes of one gateway, read from the engine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from controlplane.runtime.docker.site import project_name
from controlplane.runtime.layout import RunLayout
from tests.docker.engine import docker


class Project:
    """The Compose project of a run directory. It may be empty."""

    def __init__(self, run_dir: Path) -> None:
        self.name = project_name(RunLayout(run_dir.resolve()))
        self.file = run_dir / "compose.yaml"

    def containers(self) -> dict[str, dict[str, Any]]:
        """The output of `docker inspect`, by service."""
        if not (ids := self._ids("ps", "--all", "--quiet")):
            return {}
        inspected = json.loads(docker("inspect", *ids))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in inspected}

    def id(self, service: str) -> str:
        return str(self.containers()[service]["Id"])

    def started(self) -> dict[str, tuple[str, str]]:
        """Id and start time of the running container of each service; both change with a restart."""
        return {
            name: (each["Id"], each["State"]["StartedAt"])
            for name, each in self.containers().items()
            if each["State"]["Running"]
        }

    def volumes(self) -> list[str]:
        return self._ids("volume", "ls", "--quiet")

    def networks(self) -> list[str]:
        return self._ids("network", "ls", "--quiet")

    def _ids(self, *command: str) -> list[str]:
        return docker(*command, "--filter", f"label=com.docker.compose.project={self.name}").split()

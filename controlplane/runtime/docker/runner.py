"""A gateway of containers: Docker's engine keeps them running, and keeps their lines."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Final

from controlplane.errors import RuntimeFault
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import worker_replies
from controlplane.runtime.command_lines import ENVOY, is_worker, worker_name
from controlplane.runtime.docker.container_environment import CONTAINER_LAYOUT, project_name
from controlplane.runtime.docker.engine import Container, Engine
from controlplane.runtime.docker.log_follow import follow
from controlplane.runtime.drain import requests
from controlplane.runtime.runner import DroppedLines, Runtime, ServiceState
from extproc.shared.worker_status import WorkerStatus

# What fills the volume of models and ends: no part that runs.
MODELS: Final = "models"
# Volumes that hold nothing but sockets.
_SOCKETS: Final = ("sockets", "triton")
# Envoy writes a line a request to stdout, its own lines to stderr.
_ACCESS: Final = "access"
# Each service may take as long as its stop_grace_period says.
_STOP_S: Final = 120.0
# Beside the wait for requests, what starting a program in a container takes.
_DRAIN_S: Final = 15.0

_STATES: Final = {"running": "RUNNING", "created": "STARTING", "restarting": "BACKOFF", "paused": "PAUSED"}


class DockerRunner:
    """The gateway of one run directory. Every method raises RuntimeFault where no engine answers."""

    runtime = Runtime.DOCKER
    poll_s = 1.0

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self.project = project_name(layout)

    @cached_property
    def engine(self) -> Engine:
        return Engine.find()

    def compose(self, *arguments: str) -> tuple[str, ...]:
        """`docker` arguments of a Compose command that reads compose.yaml."""
        return ("compose", "--project-name", self.project, "--file", str(self._layout.compose), *arguments)

    def services(self) -> tuple[ServiceState, ...] | None:
        found = tuple(_part(each) for each in self._containers() if each.service != MODELS)
        return found or None

    def workers(self, indices: Sequence[int]) -> tuple[WorkerStatus, ...]:
        names = {worker_name(index) for index in indices}
        sockets = [str(CONTAINER_LAYOUT.worker_socket(index)) for index in indices]
        # Any of them can ask all: their sockets lie in one volume. The next one is for one that is about to end.
        for container in self._containers():
            if container.running and container.service in names:
                with contextlib.suppress(RuntimeFault):
                    _, said = self.engine.exec(container.id, "python", "-m", "extproc.shared.status_client", *sockets)
                    return worker_replies.decode(line.encode() for line in said.splitlines())
        return ()

    def dropped_lines(self) -> tuple[DroppedLines, ...]:
        # The engine writes them, and does not say.
        return ()

    def logs(self, service: str | None = None) -> tuple[str, ...]:
        services = {each.service for each in self._containers()}
        names = sorted(services | ({_ACCESS} if ENVOY in services else set()))
        return tuple(name for name in names if service is None or name == service or name.startswith(f"{service}-"))

    def log_location(self, log: str) -> str:
        return f"container {self._container(log).name}"

    def last_lines(self, log: str, count: int) -> list[str]:
        service = ENVOY if log == _ACCESS else log
        if count <= 0 or not any(each.service == service for each in self._containers()):
            return []
        container = self._container(log).id
        if service != ENVOY:
            return self.engine.logs(container, count)
        return self.engine.logs(container, count, stdout=log == _ACCESS, stderr=log != _ACCESS)

    def follow(self, logs: Sequence[str], show: Callable[[str, str], None]) -> None:
        services = sorted({ENVOY if log == _ACCESS else log for log in logs})
        with contextlib.closing(follow(self.engine, self.project, services)) as lines:
            for line in lines:
                log = _ACCESS if (line.service, line.stream) == (ENVOY, "stdout") else line.service
                if log in logs:
                    show(log, line.text)

    def drain(self, grace_s: float, say: Callable[[str], None]) -> None:
        """Envoy's admin socket lies in a volume of the containers: a worker asks it, which has a Python."""
        running = [each for each in self._containers() if each.running]
        worker = next((each for each in running if is_worker(each.service)), None)
        if worker is None or not any(each.service == ENVOY for each in running):
            return
        say(f"waiting for running requests to end, at most {grace_s:g} s")
        command = (
            "python",
            "-P",
            "-m",
            "controlplane.runtime.drain",
            str(CONTAINER_LAYOUT.admin_socket),
            f"{grace_s:g}",
        )
        code, said = self.engine.exec(worker.id, *command, timeout_s=grace_s + _DRAIN_S)
        if code != 0:
            raise RuntimeFault(f"{worker.name} could not drain Envoy: exit code {code}")
        if left := int(said):
            say(f"{requests(left)} did not end within {grace_s:g} s")

    def stop(self, *, volumes: bool) -> bool:
        engine = self.engine
        left = (self._containers(), engine.networks(self.project), engine.volumes(self.project) if volumes else ())
        if any(left):
            more = ("--volumes",) if volumes else ()
            # By their labels: whatever has become of compose.yaml, they can be stopped.
            down = ("compose", "--project-name", self.project, "down", "--remove-orphans", *more)
            engine.run(*down, timeout_s=_STOP_S, doing="stopping the gateway")
        # Sockets are of no use to anybody. By force: one that somebody else removes meanwhile is no fault.
        for name in engine.volumes(self.project):
            if volumes or name in {f"{self.project}_{each}" for each in _SOCKETS}:
                engine.run("volume", "rm", "--force", name, doing=f"removing the volume {name}")
        return any(left)

    def _containers(self) -> tuple[Container, ...]:
        return tuple(each for each in self.engine.containers(self.project) if not each.oneoff)

    def _container(self, log: str) -> Container:
        service = ENVOY if log == _ACCESS else log
        found = next((each for each in self._containers() if each.service == service), None)
        if found is None:
            raise RuntimeFault(f"the gateway in {self._layout.root} has no container {service}")
        return found


def _part(container: Container) -> ServiceState:
    return ServiceState(
        name=container.service,
        state=_STATES.get(container.state, "EXITED"),
        pid=container.pid,
        since=int(container.started_at),
        fault=container.error or ("" if container.running else f"exit code {container.exit_code}"),
    )

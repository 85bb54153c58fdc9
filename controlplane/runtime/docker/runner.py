"""Runner of a gateway in containers: the Docker engine restarts them and stores their logs."""

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
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.engine_objects import Container
from controlplane.runtime.docker.log_follow import follow
from controlplane.runtime.drain import requests
from controlplane.runtime.runner import DroppedLines, Runtime, ServiceState
from extproc.shared.worker_status import WorkerStatus

# The container that fills the volume of models and then ends. Not a running service.
MODELS: Final = "models"
# Volumes that contain only sockets.
_SOCKET_VOLUMES: Final = ("sockets", "triton")
# Envoy writes the access log to stdout and its own log to stderr.
_ACCESS: Final = "access"
# Longer than the sum of all stop_grace_period.
_STOP_S: Final = 120.0
# Time to start a program in a container, in addition to the grace period.
_DRAIN_S: Final = 15.0

_STATES: Final = {"running": "RUNNING", "created": "STARTING", "restarting": "BACKOFF", "paused": "PAUSED"}


class DockerRunner:
    """The gateway of one run directory. Every method raises RuntimeFault if no engine answers."""

    runtime = Runtime.DOCKER
    poll_s = 1.0

    def __init__(self, layout: RunLayout) -> None:
        self._layout = layout
        self.project = project_name(layout)

    @cached_property
    def engine(self) -> Engine:
        return Engine.find()

    def compose(self, *arguments: str) -> tuple[str, ...]:
        """Return the `docker` arguments of a Compose command on compose.yaml."""
        return ("compose", "--project-name", self.project, "--file", str(self._layout.compose), *arguments)

    def services(self) -> tuple[ServiceState, ...] | None:
        states = tuple(_service_state(each) for each in self._containers() if each.service != MODELS)
        return states or None

    def workers(self, indices: Sequence[int]) -> tuple[WorkerStatus, ...]:
        names = {worker_name(index) for index in indices}
        sockets = [str(CONTAINER_LAYOUT.worker_socket(index)) for index in indices]
        # Any worker can query all others: their sockets are in one volume. If one cannot, the next one is used.
        for container in self._containers():
            if container.running and container.service in names:
                with contextlib.suppress(RuntimeFault):
                    _, output = self.engine.exec(container.id, "python", "-m", "extproc.shared.status_client", *sockets)
                    return worker_replies.decode(line.encode() for line in output.splitlines())
        return ()

    def dropped_lines(self) -> tuple[DroppedLines, ...]:
        # The engine writes the logs, and does not report lost lines.
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
        """Drain from within a worker: it has Python, and Envoy's admin socket is in a volume of the containers."""
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
        code, output = self.engine.exec(worker.id, *command, timeout_s=grace_s + _DRAIN_S)
        if code != 0:
            raise RuntimeFault(f"{worker.name} could not drain Envoy: exit code {code}")
        if left := int(output):
            say(f"{requests(left)} did not end within {grace_s:g} s")

    def stop(self, *, volumes: bool) -> bool:
        engine = self.engine
        existing = (self._containers(), engine.networks(self.project), engine.volumes(self.project) if volumes else ())
        if any(existing):
            options = ("--volumes",) if volumes else ()
            # Without --file: Compose finds the containers by their labels, even if compose.yaml is missing or broken.
            down = ("compose", "--project-name", self.project, "down", "--remove-orphans", *options)
            engine.run(*down, timeout_s=_STOP_S, doing="stopping the gateway")
        # Volumes of sockets are never kept. --force: no error if somebody else removes one meanwhile.
        for name in engine.volumes(self.project):
            if volumes or name in {f"{self.project}_{each}" for each in _SOCKET_VOLUMES}:
                engine.run("volume", "rm", "--force", name, doing=f"removing the volume {name}")
        return any(existing)

    def _containers(self) -> tuple[Container, ...]:
        return tuple(each for each in self.engine.containers(self.project) if not each.oneoff)

    def _container(self, log: str) -> Container:
        service = ENVOY if log == _ACCESS else log
        container = next((each for each in self._containers() if each.service == service), None)
        if container is None:
            raise RuntimeFault(f"the gateway in {self._layout.root} has no container {service}")
        return container


def _service_state(container: Container) -> ServiceState:
    return ServiceState(
        name=container.service,
        state=_STATES.get(container.state, "EXITED"),
        pid=container.pid,
        since=int(container.started_at),
        fault=container.error or ("" if container.running else f"exit code {container.exit_code}"),
    )

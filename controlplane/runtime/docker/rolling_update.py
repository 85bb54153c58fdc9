"""A gateway of containers that runs already, brought up to what its compose.yaml says: only what differs is made anew.

By itself Compose would make Envoy anew with every worker, since Envoy is declared to wait for them. So each stage names
its services, and half of the workers go after the other half: while one is made anew, the other answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from controlplane.errors import RuntimeFault
from controlplane.runtime.command_lines import ENVOY, is_worker, worker_indices
from controlplane.runtime.docker.engine import Container
from controlplane.runtime.docker.runner import MODELS, DockerRunner
from controlplane.runtime.readiness import fault_with_log

_HASH_LABEL: Final = "com.docker.compose.config-hash"


class _Service(msgspec.Struct, frozen=True):
    image: str


class _Project(msgspec.Struct, frozen=True):
    services: dict[str, _Service]


def update(runner: DockerRunner, deadline_s: float, ports: Mapping[int, str], say: Callable[[str], None]) -> None:
    """Returns when every service is as compose.yaml says and healthy, and no other one is left.

    RuntimeFault names what did not become so; the rest goes on as it was. `ports`: the key of each published port.
    """
    deadline = time.monotonic() + deadline_s
    for stage in stages(_outdated_services(runner)):
        say(f"making anew: {', '.join(stage)}")
        # Workers are asked by ourselves: Docker's own look at their health comes after ten seconds.
        asked = is_worker(stage[0])
        _compose(
            runner, ("up", "--detach", *(() if asked else ("--wait",)), "--no-build", *stage), stage, deadline, ports
        )
        if asked:
            _wait_answering(runner, stage, deadline)
    # What the file does not have any more.
    _compose(
        runner, ("up", "--detach", "--no-build", "--no-recreate", "--remove-orphans"), ("Compose",), deadline, ports
    )


def stages(services: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """In which order services are made anew: what workers ask, the workers in two halves, Envoy."""
    workers = sorted(name for name in services if is_worker(name))
    others = sorted(name for name in services if not is_worker(name) and name != ENVOY)
    half = (len(workers) + 1) // 2
    found = (others, workers[:half], workers[half:], [ENVOY] if ENVOY in services else [])
    return tuple(tuple(stage) for stage in found if stage)


def outdated_services(
    hashes: Mapping[str, str], images: Mapping[str, str | None], containers: Collection[Container]
) -> tuple[str, ...]:
    """The services that do not run as they should: of another configuration or image, ended, or not there.

    `hashes`, `images`: what each service should be of. What fills the volume of models has ended well, and should have.
    """
    right = {
        each.service
        for each in containers
        if each.labels.get(_HASH_LABEL) == hashes.get(each.service)
        and each.image_id == images.get(each.service)
        and (each.running or (each.service == MODELS and each.state == "exited" and each.exit_code == 0))
    }
    return tuple(name for name in hashes if name not in right)


def _outdated_services(runner: DockerRunner) -> tuple[str, ...]:
    engine = runner.engine
    doing = "reading compose.yaml"
    lines = engine.run(*runner.compose("config", "--hash", "*"), doing=doing).splitlines()
    hashes = dict(line.split() for line in lines)
    project = msgspec.json.decode(engine.run(*runner.compose("config", "--format", "json"), doing=doing), type=_Project)
    names = {name: service.image for name, service in project.services.items()}
    here = {name: image.id if (image := engine.image(name)) is not None else None for name in set(names.values())}
    return outdated_services(
        hashes, {name: here[image] for name, image in names.items()}, engine.containers(runner.project)
    )


def _wait_answering(runner: DockerRunner, workers: Sequence[str], deadline: float) -> None:
    """RuntimeFault, and the other half goes on as it was, where one of these ends or is silent until `deadline`."""
    while len(runner.workers(worker_indices(workers))) < len(workers):
        for each in runner.services() or ():
            if each.name in workers and each.state in {"BACKOFF", "EXITED"}:
                raise fault_with_log(
                    f"{each.name} does not start ({each.fault or each.state.lower()})", runner, each.name
                )
        if time.monotonic() > deadline:
            raise fault_with_log(f"not ready in time: {', '.join(workers)}", runner, workers[0])
        time.sleep(runner.poll_s)


def _compose(
    runner: DockerRunner,
    arguments: tuple[str, ...],
    services: Collection[str],
    deadline: float,
    ports: Mapping[int, str],
) -> None:
    with runner.engine.start(*runner.compose(*arguments)) as command:
        code = command.wait(max(0.0, deadline - time.monotonic()))
        if code is None:
            raise RuntimeFault(f"not ready in time: {', '.join(services)}; see `archgw status` and `archgw logs`")
        if code != 0:
            raise runner.engine.fault(
                "bringing the containers up to date", command.said, project=runner.project, ports=ports
            )

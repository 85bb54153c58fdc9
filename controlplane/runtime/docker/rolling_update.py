"""Updates a running gateway in containers to its new compose.yaml. Only services that differ are replaced.

Compose alone would replace Envoy with every worker, because Envoy depends on them. So the update has stages, each with
its services. Half of the workers are replaced after the other half, so that one half always answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

import msgspec

from controlplane.errors import RuntimeFault
from controlplane.runtime.command_lines import ENVOY, is_worker, worker_indices
from controlplane.runtime.docker.engine_objects import Container
from controlplane.runtime.docker.runner import MODELS, DockerRunner
from controlplane.runtime.readiness import fault_with_log

_HASH_LABEL: Final = "com.docker.compose.config-hash"


class _Service(msgspec.Struct, frozen=True):
    image: str


class _Project(msgspec.Struct, frozen=True):
    services: dict[str, _Service]


def update(runner: DockerRunner, deadline_s: float, ports: Mapping[int, str], say: Callable[[str], None]) -> None:
    """Replace the outdated services, wait until they are healthy, and remove services that compose.yaml lacks.

    RuntimeFault names services that did not become healthy; the others keep running. `ports`: published port ->
    configuration key.
    """
    deadline = time.monotonic() + deadline_s
    for stage in stages(_outdated_services(runner)):
        say(f"replacing: {', '.join(stage)}")
        # We query workers ourselves: Docker's health check runs only every ten seconds.
        workers = is_worker(stage[0])
        wait = () if workers else ("--wait",)
        _compose(runner, ("up", "--detach", *wait, "--no-build", *stage), stage, deadline, ports)
        if workers:
            _wait_answering(runner, stage, deadline)
    # Removes services that the file no longer has.
    _compose(
        runner, ("up", "--detach", "--no-build", "--no-recreate", "--remove-orphans"), ("Compose",), deadline, ports
    )


def stages(services: Collection[str]) -> tuple[tuple[str, ...], ...]:
    """Return the services in the order of replacement: those that workers call, workers in two halves, Envoy."""
    workers = sorted(name for name in services if is_worker(name))
    others = sorted(name for name in services if not is_worker(name) and name != ENVOY)
    half = (len(workers) + 1) // 2
    ordered = (others, workers[:half], workers[half:], [ENVOY] if ENVOY in services else [])
    return tuple(tuple(stage) for stage in ordered if stage)


def outdated_services(
    hashes: Mapping[str, str], images: Mapping[str, str | None], containers: Collection[Container]
) -> tuple[str, ...]:
    """Return the services with another configuration or image than they should have, ended ones and missing ones.

    `hashes`, `images`: configuration hash and image id that each service should have. The container that fills the
    volume of models should have ended with exit code 0.
    """
    current = {
        each.service
        for each in containers
        if each.labels.get(_HASH_LABEL) == hashes.get(each.service)
        and each.image_id == images.get(each.service)
        and (each.running or (each.service == MODELS and each.state == "exited" and each.exit_code == 0))
    }
    return tuple(name for name in hashes if name not in current)


def _outdated_services(runner: DockerRunner) -> tuple[str, ...]:
    engine = runner.engine
    doing = "reading compose.yaml"
    lines = engine.run(*runner.compose("config", "--hash", "*"), doing=doing).splitlines()
    hashes = dict(line.split() for line in lines)
    project = msgspec.json.decode(engine.run(*runner.compose("config", "--format", "json"), doing=doing), type=_Project)
    names = {name: service.image for name, service in project.services.items()}
    ids = {name: image.id if (image := engine.image(name)) is not None else None for name in set(names.values())}
    return outdated_services(
        hashes, {name: ids[image] for name, image in names.items()}, engine.containers(runner.project)
    )


def _wait_answering(runner: DockerRunner, workers: Sequence[str], deadline: float) -> None:
    """Wait until the workers answer. RuntimeFault if one ends or is silent at `deadline`; the others keep running."""
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
                "bringing the containers up to date", command.output, project=runner.project, ports=ports
            )

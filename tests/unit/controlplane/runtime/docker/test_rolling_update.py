"""Outdated services and the order of their replacement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from controlplane.runtime.docker.engine_objects import Container
from controlplane.runtime.docker.rolling_update import outdated_services, stages

HASHES = {"envoy": "e1", "extproc-0": "x1", "models": "m1", "triton": "t1"}
IMAGES: dict[str, str | None] = {
    "envoy": "sha256:e",
    "extproc-0": "sha256:x",
    "models": "sha256:m",
    "triton": "sha256:t",
}


def container(service: str, state: str = "running", exit_code: int = 0) -> Container:
    return Container(
        service=service,
        id=service,
        name=f"p-{service}-1",
        state=state,
        exit_code=exit_code,
        health=None,
        check="",
        pid=None,
        started_at=1.0,
        finished_at=0.0,
        restarts=0,
        oom_killed=False,
        error="",
        image=service,
        image_id=str(IMAGES[service]),
        oneoff=False,
        labels={"com.docker.compose.config-hash": HASHES[service]},
    )


WHOLE = (container("envoy"), container("extproc-0"), container("triton"), container("models", "exited"))


def but(changed: Container) -> tuple[Container, ...]:
    return (*(each for each in WHOLE if each.service != changed.service), changed)


def test_no_outdated_services_if_all_are_current() -> None:
    assert outdated_services(HASHES, IMAGES, WHOLE) == ()


@pytest.mark.parametrize(
    "changed",
    [
        replace(container("extproc-0"), labels={"com.docker.compose.config-hash": "older"}),
        replace(container("extproc-0"), labels={}),
        replace(container("extproc-0"), image_id="sha256:older"),
        container("extproc-0", "exited"),
        container("extproc-0", "created"),
        container("models", "exited", exit_code=1),
    ],
)
def test_only_changed_services_are_outdated(changed: Container) -> None:
    assert outdated_services(HASHES, IMAGES, but(changed)) == (changed.service,)


def test_missing_services_are_outdated_and_extra_ones_are_ignored() -> None:
    assert outdated_services({**HASHES, "extproc-1": "x2"}, {**IMAGES, "extproc-1": "sha256:extproc-1"}, WHOLE) == (
        "extproc-1",
    )
    assert outdated_services({"envoy": "e1"}, IMAGES, WHOLE) == ()


def test_service_with_a_removed_image_is_outdated() -> None:
    assert outdated_services(HASHES, {**IMAGES, "triton": None}, WHOLE) == ("triton",)


def test_replaces_workers_in_two_halves_and_envoy_last() -> None:
    services = ("envoy", "extproc-0", "extproc-1", "extproc-2", "triton", "models")
    assert stages(services) == (("models", "triton"), ("extproc-0", "extproc-1"), ("extproc-2",), ("envoy",))
    assert stages(("extproc-1",)) == (("extproc-1",),)
    assert stages(()) == ()

"""What of a running gateway is made anew, and in which order."""

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


def test_nothing_is_made_anew_where_everything_is_as_it_should_be() -> None:
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
def test_what_differs_is_named_alone(changed: Container) -> None:
    assert outdated_services(HASHES, IMAGES, but(changed)) == (changed.service,)


def test_what_is_not_there_is_made_and_what_is_not_asked_for_is_left_to_compose() -> None:
    assert outdated_services({**HASHES, "extproc-1": "x2"}, {**IMAGES, "extproc-1": "sha256:extproc-1"}, WHOLE) == (
        "extproc-1",
    )
    assert outdated_services({"envoy": "e1"}, IMAGES, WHOLE) == ()


def test_an_image_that_the_engine_lost_makes_its_service_anew() -> None:
    assert outdated_services(HASHES, {**IMAGES, "triton": None}, WHOLE) == ("triton",)


def test_half_of_the_workers_answer_while_the_others_are_made_anew_and_envoy_is_last() -> None:
    services = ("envoy", "extproc-0", "extproc-1", "extproc-2", "triton", "models")
    assert stages(services) == (("models", "triton"), ("extproc-0", "extproc-1"), ("extproc-2",), ("envoy",))
    assert stages(("extproc-1",)) == (("extproc-1",),)
    assert stages(()) == ()

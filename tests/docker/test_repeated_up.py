"""`archgw up` over a running gateway: it recreates only the containers that changed."""

from __future__ import annotations

from collections.abc import Callable

import httpx2
import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.prompts import user
from tests.dataplane.stack import Stack
from tests.docker.engine import docker
from tests.docker.project import Project
from tests.support.llm_provider import LlmProvider

pytestmark = pytest.mark.runtime(Runtime.DOCKER, why="it is the engine that knows what runs")


def answers(stack: Stack) -> bool:
    return stack.post("egress", {"model": "m", "messages": user("hi")}).status_code == 200


def changed(project: Project, before: dict[str, tuple[str, str]]) -> set[str]:
    """The services whose containers are others now, or were started again."""
    now = project.started()
    return {service for service in before | now if before.get(service) != now.get(service)}


def test_second_up_recreates_nothing(stack: Stack, project: Project) -> None:
    before = project.started()
    stack.up()
    assert changed(project, before) == set()


def test_new_system_prompt_recreates_only_the_filter(stack: Stack, project: Project, provider: LlmProvider) -> None:
    before = project.started()
    stack.config["system_prompt"] = "You are a helpful pirate."
    stack.up()
    assert changed(project, before) == {service for service in before if service.startswith("extproc-")}
    stack.post("ingress", {"messages": user("Write a haiku about harbours")})
    (llm_request,) = provider.received.all()
    assert llm_request.json()["messages"][0]["content"] == "You are a helpful pirate."


def test_new_key_recreates_only_envoy(small: Stack, provider: LlmProvider) -> None:
    project = Project(small.run_dir)
    before = project.started()
    small.env = {"SMALL_KEY": "sk-rotated-0b7f"}
    small.up()
    assert changed(project, before) == {"envoy"}
    assert answers(small)
    assert provider.received.all()[0].header("authorization") == "Bearer sk-rotated-0b7f"


def remove_envoy(project: Project) -> set[str]:
    docker("rm", "--force", project.id("envoy"))
    return {"envoy"}


def stop_everything(project: Project) -> set[str]:
    """Stop all containers, as `docker stop` does."""
    services = project.started()
    docker("stop", *(container for container, _ in services.values()))
    return set(services)


@pytest.mark.parametrize("breaks", [pytest.param(remove_envoy, marks=pytest.mark.matrix), stop_everything])
def test_up_restores_removed_and_stopped_containers(
    small: Stack, provider: LlmProvider, breaks: Callable[[Project], set[str]]
) -> None:
    project = Project(small.run_dir)
    before = project.started()
    gone = breaks(project)
    small.up()
    assert changed(project, before) == gone
    assert small.status()["ready"]
    assert answers(small)


# The last test of this module: it stops the small gateway.
def test_down_removes_its_own_containers_only(stack: Stack, project: Project, small: Stack) -> None:
    ours, others = Project(small.run_dir), project.started()
    assert ours.started()
    assert small.command("down").returncode == 0
    assert (ours.containers(), ours.networks(), ours.volumes()) == ({}, [], [])
    assert not (small.run_dir / "secrets").exists()
    assert changed(project, others) == set()
    assert httpx2.get(f"{stack.url('ingress')}/healthz").status_code == 200

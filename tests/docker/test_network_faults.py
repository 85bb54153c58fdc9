"""Frozen, restarted and disconnected containers: the statuses that clients see, and the recovery.

Killed processes are in tests/dataplane/test_crashes.py, for both runtimes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.load import Load, prompt
from tests.dataplane.recovery import wait_recovered
from tests.dataplane.stack import Stack, wait_for
from tests.docker.conftest import small_stack
from tests.docker.engine import docker, try_docker
from tests.docker.project import Project
from tests.support.llm_provider import LlmProvider

pytestmark = pytest.mark.runtime(Runtime.DOCKER, why="networks and restarts are the engine's")

_TESTS: Final = Path(__file__).parents[1]


@pytest.mark.matrix
def test_frozen_triton_refuses_prompts_until_it_is_back(stack: Stack, project: Project, provider: LlmProvider) -> None:
    triton = project.id("triton")
    ingress, egress = Load(stack, "ingress", clients=4), Load(stack, "egress", clients=4)
    with ingress.running() as prompts, egress.running() as calls:
        # The kernel may not freeze a process that is deep in a call just then; runc gives up within milliseconds.
        wait_for(lambda: try_docker("pause", triton).returncode == 0)
        try:
            wait_for(lambda: prompts[503])
            refused = wait_for(lambda: _unless_ok(stack))
            egress.more()
        finally:
            docker("unpause", triton)
        ingress.more()
    wait_recovered(stack)
    assert refused == "guard_unavailable"
    assert set(prompts) == {200, 503}
    assert set(calls) == {200}


def _unless_ok(stack: Stack) -> str | None:
    answer = stack.post("ingress", prompt())
    return None if answer.status_code == 200 else str(answer.json()["error"]["code"])


def test_gateway_recovers_from_a_restart_of_all_containers(
    stack: Stack, project: Project, provider: LlmProvider
) -> None:
    before = project.started()
    docker("restart", *(container for container, _ in before.values()))
    wait_recovered(stack)
    after = project.started()
    assert all(after[service] != started for service, started in before.items())
    assert {container for container, _ in after.values()} == {container for container, _ in before.values()}


@pytest.fixture
def contained(
    runtime: Runtime, tmp_path_factory: pytest.TempPathFactory, project: Project
) -> Iterator[tuple[Stack, str, str]]:
    """A gateway whose provider is a container in its own network: that container, and the network."""
    name = f"provider-{uuid.uuid4().hex[:8]}"
    stack = small_stack(runtime, tmp_path_factory.mktemp("small"), f"http://{name}:8080")
    filter_image = str(project.containers()["extproc-0"]["Config"]["Image"])
    server = ("python", "-m", "tests.support.llm_provider", "--port", "8080")
    try:
        stack.up()
        (network,) = Project(stack.run_dir).networks()
        where = ("--network", network, "--name", name, "--volume", f"{_TESTS}:/checkout/tests:ro")
        labels = ("--label", f"archgw.tests={stack.directory}")
        docker("run", "--detach", "--rm", *where, *labels, "--workdir", "/checkout", filter_image, *server)
        yield stack, name, network
    finally:
        docker("rm", "--force", name)
        stack.down()


@pytest.mark.matrix
def test_disconnected_provider_is_a_503_or_504(contained: tuple[Stack, str, str]) -> None:
    stack, provider, network = contained

    def status() -> int:
        return stack.post("egress", prompt()).status_code

    wait_for(lambda: status() == 200)
    docker("network", "disconnect", network, provider)
    try:
        assert {status() for _ in range(3)} <= {503, 504}
    finally:
        docker("network", "connect", network, provider)
    wait_for(lambda: status() == 200)

"""The runner of a gateway in containers, with a fake engine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from controlplane.errors import RuntimeFault
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.docker.container_environment import project_name
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.engine_objects import Container
from controlplane.runtime.docker.runner import DockerRunner
from controlplane.runtime.runner import ServiceState
from extproc.shared.filter_config import Place
from extproc.shared.roles import Role

ANSWER = '{"roles": {"guard": {"backends": [{"place": "local", "model": "guard", "ready": true}]}}}\n'


def container(service: str, state: str = "running", exit_code: int = 0, error: str = "") -> Container:
    return Container(
        service=service,
        id=f"id-{service}",
        name=f"p-{service}-1",
        state=state,
        exit_code=exit_code,
        health=None,
        check="",
        pid=7 if state == "running" else None,
        started_at=11.5,
        finished_at=0.0,
        restarts=0,
        oom_killed=False,
        error=error,
        image=service,
        image_id="",
        oneoff=False,
    )


class FakeEngine(Engine):
    """A fake engine. Records calls of `logs` and `exec`."""

    def __init__(self, *containers: Container, answers: Mapping[str, str] | None = None) -> None:
        super().__init__("docker", {})
        object.__setattr__(self, "present", containers)
        object.__setattr__(self, "answers", answers or {})
        object.__setattr__(self, "commands", [])

    present: tuple[Container, ...]
    answers: Mapping[str, str]
    commands: list[tuple[object, ...]]

    def containers(self, project: str) -> tuple[Container, ...]:
        return self.present

    def exec(self, container: str, *argv: str, timeout_s: float = 10) -> tuple[int, str]:
        self.commands.append((container, *argv))
        if container not in self.answers:
            raise RuntimeFault("it is about to end")
        return 0, self.answers[container]

    def logs(self, container: str, lines: int, *, stdout: bool = True, stderr: bool = True) -> list[str]:
        self.commands.append((container, lines, stdout, stderr))
        return ["a line"]


def runner(tmp_path: Path, engine: Engine) -> DockerRunner:
    found = DockerRunner(RunLayout(tmp_path))
    found.engine = engine
    return found


def test_services_have_the_states_of_both_runtimes(tmp_path: Path) -> None:
    engine = FakeEngine(
        container("envoy"),
        container("extproc-0", "restarting", exit_code=3),
        container("models", "exited"),
        container("triton", "created", error="no such device"),
        container("weather-api", "exited", exit_code=137),
    )
    assert runner(tmp_path, engine).services() == (
        ServiceState("envoy", "RUNNING", 7, 11, ""),
        ServiceState("extproc-0", "BACKOFF", None, 11, "exit code 3"),
        ServiceState("triton", "STARTING", None, 11, "no such device"),
        ServiceState("weather-api", "EXITED", None, 11, "exit code 137"),
    )


def test_models_container_alone_is_not_a_gateway(tmp_path: Path) -> None:
    assert runner(tmp_path, FakeEngine(container("models", "exited"))).services() is None
    assert runner(tmp_path, FakeEngine()).services() is None


def test_queries_all_workers_through_one_that_runs(tmp_path: Path) -> None:
    workers = (container("extproc-0", "exited"), container("extproc-1"), container("extproc-2"))
    engine = FakeEngine(*workers, answers={"id-extproc-2": ANSWER + "no answer of ours\n"})
    (found,) = runner(tmp_path, engine).workers((0, 1, 2))
    assert found.roles[Role.GUARD].backends[0].place is Place.LOCAL
    sockets = tuple(f"/run/archgw/sockets/extproc-{index}.sock" for index in range(3))
    assert engine.commands == [
        (f"id-extproc-{index}", "python", "-m", "extproc.shared.status_client", *sockets) for index in (1, 2)
    ]


def test_access_log_is_envoys_stdout(tmp_path: Path) -> None:
    engine = FakeEngine(container("envoy"), container("extproc-0"), container("extproc-1"))
    found = runner(tmp_path, engine)
    assert found.logs() == ("access", "envoy", "extproc-0", "extproc-1")
    assert found.logs("extproc") == ("extproc-0", "extproc-1")
    assert found.logs("access") == ("access",)
    assert (
        found.last_lines("access", 3) == found.last_lines("envoy", 3) == found.last_lines("extproc-0", 3) == ["a line"]
    )
    assert engine.commands == [
        ("id-envoy", 3, True, False),
        ("id-envoy", 3, False, True),
        ("id-extproc-0", 3, True, True),
    ]
    assert found.log_location("access") == "container p-envoy-1"


def test_no_log_lines_without_a_container(tmp_path: Path) -> None:
    found = runner(tmp_path, FakeEngine())
    assert found.logs() == ()
    assert found.last_lines("triton", 3) == []


def test_each_run_directory_has_its_own_project(tmp_path: Path) -> None:
    assert project_name(RunLayout(tmp_path / "a")) != project_name(RunLayout(tmp_path / "b"))
    assert project_name(RunLayout(tmp_path / "a")) == project_name(RunLayout(tmp_path / "a"))


class FakeProject(FakeEngine):
    """A fake engine with containers, a network and two volumes. Records commands."""

    def networks(self, project: str) -> tuple[str, ...]:
        return ("net",)

    def volumes(self, project: str) -> tuple[str, ...]:
        return (f"{project}_models", f"{project}_sockets")

    def run(self, *args: str, input: str | None = None, timeout_s: float = 120, doing: str = "") -> str:  # noqa: A002
        self.commands.append(args)
        return ""


@pytest.mark.parametrize(("volumes", "gone"), [(False, ("sockets",)), (True, ("models", "sockets"))])
def test_stops_containers_without_compose_yaml(tmp_path: Path, volumes: bool, gone: tuple[str, ...]) -> None:
    (tmp_path / "compose.yaml").write_text("services: [")
    engine = FakeProject(container("envoy"))
    found = runner(tmp_path, engine)
    assert found.stop(volumes=volumes)
    down, *removed = engine.commands
    assert down[:4] == ("compose", "--project-name", found.project, "down")
    assert "--file" not in down
    assert ("--volumes" in down) is volumes
    # Somebody else may remove them meanwhile.
    assert removed == [("volume", "rm", "--force", f"{found.project}_{name}") for name in gone]


def test_drains_envoy_from_a_worker(tmp_path: Path) -> None:
    engine = FakeEngine(container("envoy"), container("extproc-1"), answers={"id-extproc-1": "2\n"})
    messages: list[str] = []
    runner(tmp_path, engine).drain(5, messages.append)
    (command,) = engine.commands
    socket = "/run/archgw/sockets/admin.sock"
    assert command == ("id-extproc-1", "python", "-P", "-m", "controlplane.runtime.drain", socket, "5")
    assert messages == [
        "waiting for running requests to end, at most 5 s",
        "2 requests did not end within 5 s",
    ]


@pytest.mark.parametrize("left", [(), ("extproc-0",), ("envoy",)])
def test_drains_nothing_without_envoy_or_worker(tmp_path: Path, left: tuple[str, ...]) -> None:
    engine = FakeEngine(*map(container, left), container("extproc-1", state="exited"))
    runner(tmp_path, engine).drain(5, lambda _: None)
    assert engine.commands == []

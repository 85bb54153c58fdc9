"""`Engine` against a real Docker engine, with tiny containers."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from controlplane.errors import RuntimeFault
from controlplane.runtime.docker.engine import Engine, unavailable_reason
from controlplane.runtime.docker.engine_objects import Container
from controlplane.runtime.docker.log_follow import LogLine, follow

_IMAGE: Final = "python:3.11-slim-bookworm"
_WAIT_S: Final = 60


@pytest.fixture(scope="module")
def engine(docker_answers: None) -> Engine:
    return Engine.find()


class Composed:
    """A compose project of the test's own."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.name = f"archgw-test-{uuid.uuid4().hex[:8]}"
        self.file = folder / "compose.yaml"

    def write(self, **services: dict[str, Any]) -> None:
        whole = {
            name: {"image": _IMAGE, "init": True, "stop_grace_period": "0s", **service}
            for name, service in services.items()
        }
        self.file.write_text(yaml.safe_dump({"services": whole, "volumes": {"kept": None}}))

    @property
    def up(self) -> tuple[str, ...]:
        return ("compose", "-p", self.name, "-f", str(self.file), "up", "-d")

    def refused(self, **ports: int) -> str:
        """The error of an `up` that fails."""
        with self.engine.start(*self.up) as running:
            assert running.wait(_WAIT_S) not in {0, None}
            keys = {port: f"listeners.{name}.port" for name, port in ports.items()}
            return str(self.engine.fault("starting the containers", running.output, project=self.name, ports=keys))

    def containers(self) -> dict[str, Container]:
        return {each.service: each for each in self.engine.containers(self.name)}


@pytest.fixture
def composed(engine: Engine, tmp_path: Path) -> Iterator[Composed]:
    project = Composed(engine, tmp_path)
    try:
        yield project
    finally:
        # Compose forgets a volume that no service of the file uses any more.
        project.write(none={"volumes": ["kept:/kept"]})
        engine.run("compose", "-p", project.name, "-f", str(project.file), "down", "-v", "-t", "0", "--remove-orphans")


def _eventually(condition: Any) -> None:
    deadline = time.monotonic() + _WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _shell(text: str, **more: Any) -> dict[str, Any]:
    # Compose reads a dollar as a variable's.
    return {"command": ["sh", "-c", text.replace("$", "$$")], **more}


_SLEEPING: Final = _shell("sleep 1000")


def test_engine_info_is_read(engine: Engine) -> None:
    info = engine.check()
    assert info.version
    assert "runc" in info.runtimes
    assert info.memory > 1 << 20
    assert not info.rootless
    assert unavailable_reason() is None


def test_unreachable_engine_is_named(engine: Engine) -> None:
    environ = dict(engine.environment) | {"DOCKER_HOST": "unix:///nonexistent"}
    assert unavailable_reason(environ) == "no Docker engine answers at unix:///nonexistent"


def test_denied_engine_access_names_the_way_out(engine: Engine, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    script = tmp_path / "docker"
    nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups"
    script.write_text(f'#!/bin/sh\nexec {nobody} {engine.program} "$@"\n')
    script.chmod(0o755)
    environ = dict(engine.environment) | {"PATH": f"{tmp_path}:{engine.environment['PATH']}", "HOME": "/nonexistent"}
    with pytest.raises(RuntimeFault, match=r"permission denied on \S+docker\.sock\n(.|\n)*usermod -aG docker"):
        Engine.find(environ).check()


def test_image_labels_are_read(engine: Engine, composed: Composed) -> None:
    image = engine.image(_IMAGE)
    assert image is not None
    assert image.size > 1 << 20
    name = f"{composed.name}:labelled"
    engine.run("build", "-t", name, "-", input=f'FROM {_IMAGE}\nLABEL archgw.sources="a b"\nUSER 10001\n')
    try:
        assert engine.image_labels(name) == {"archgw.sources": "a b"}
        labelled = engine.image(name)
        assert labelled is not None
        assert labelled.user == "10001"
    finally:
        engine.run("rmi", name)
    assert engine.image_labels(name) is None
    assert not engine.has_image(name)


def test_failed_build_names_its_step(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text(f"FROM {_IMAGE}\nRUN echo at-the-step && false\n")
    for builder in ("1", "0"):
        chosen = Engine(engine.program, dict(engine.environment) | {"DOCKER_BUILDKIT": builder})
        lines: list[str] = []
        with pytest.raises(RuntimeFault, match="building it failed at the step: /bin/sh -c echo at-the-step && false"):
            chosen.stream(
                "build",
                *(["--progress", "plain"] if builder == "1" else []),
                "--no-cache",
                "--force-rm",
                str(tmp_path),
                on_line=lines.append,
                doing="building it",
            )
        assert any(line.endswith("at-the-step") for line in lines)


def test_unreachable_registry_is_named(engine: Engine) -> None:
    # Nothing listens on the port of `discard`.
    with pytest.raises(RuntimeFault, match=r"^fetching the image \S+ failed: .*its registry does not answer"):
        engine.pull("127.0.0.1:9/none:1", print)
    assert not engine.can_pull("127.0.0.1:9/none:1")


def test_containers_of_a_project_are_listed(engine: Engine, composed: Composed) -> None:
    assert engine.containers(composed.name) == ()
    check = {"test": ["CMD-SHELL", "cat /tmp/is 2>&1 && [ -s /tmp/is ]"], "interval": "1s", "retries": 1}
    composed.write(
        once=_shell("exit 3"),
        sick=_shell("sleep 1000", healthcheck=check, volumes=["kept:/kept"]),
        plain=_SLEEPING,
    )
    engine.run(*composed.up)
    _eventually(lambda: composed.containers()["sick"].health == "unhealthy")
    found = composed.containers()
    assert list(found) == ["once", "plain", "sick"]
    assert (found["once"].state, found["once"].exit_code, found["once"].pid) == ("exited", 3, None)
    # The engine takes the two times from two clocks: the end may come before the start.
    assert found["once"].finished_at == pytest.approx(found["once"].started_at, abs=60)
    assert found["once"].started_at > time.time() - 600
    assert (found["plain"].state, found["plain"].health, found["plain"].restarts) == ("running", None, 0)
    assert Path(f"/proc/{found['plain'].pid}").is_dir()
    assert found["sick"].check == "cat: /tmp/is: No such file or directory"
    assert found["sick"].image == _IMAGE
    assert engine.volumes(composed.name) == (f"{composed.name}_kept",)
    assert engine.networks(composed.name) == (f"{composed.name}_default",)
    sick = found["sick"].id
    assert engine.exec(sick, "sh", "-c", "echo well > /tmp/is; echo done; exit 4") == (4, "done\n")
    _eventually(lambda: composed.containers()["sick"].health == "healthy")
    engine.run("kill", found["plain"].id)
    _eventually(lambda: composed.containers()["plain"].exit_code == 137)
    with pytest.raises(RuntimeFault, match="is not running"):
        engine.exec(found["plain"].id, "true")
    with pytest.raises(RuntimeFault, match="No such container"):
        engine.exec("archgw-test-none", "true")


def test_logs_are_read_by_stream_without_control_sequences(engine: Engine, composed: Composed) -> None:
    # The engine copies each stream by itself: without a pause, the line of stderr may come last.
    text = "echo rare >&2; sleep 1; for i in $(seq 100); do echo line $i; done; printf '\\033[2Jclear\\a\\n'"
    composed.write(chatty=_shell(text))
    engine.run(*composed.up)
    _eventually(lambda: composed.containers()["chatty"].state == "exited")
    container = composed.containers()["chatty"].name
    assert engine.logs(container, 2) == ["line 100", "clear"]
    assert engine.logs(container, 3, stderr=False) == ["line 99", "line 100", "clear"]
    assert engine.logs(container, 2, stdout=False) == ["rare"]
    assert engine.logs(container, 0) == []
    assert len(engine.logs(container, 1000)) == 102
    with pytest.raises(RuntimeFault, match="No such container"):
        engine.logs("archgw-test-none", 1)


def test_logs_are_followed_through_restarts_and_new_containers(engine: Engine, composed: Composed) -> None:
    again = _shell("echo begins; echo went on; sleep 1000", restart="always")
    composed.write(again=again)
    engine.run(*composed.up)
    first = composed.containers()["again"]
    _eventually(lambda: len(engine.logs(first.id, 9)) == 2)
    shown: list[tuple[str, str]] = []

    def read() -> None:
        # Grows with each line that comes.
        shown.extend((line.service, line.text) for line in follow(engine, composed.name, lines=1))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    _eventually(lambda: len(shown) == 1)
    engine.run("restart", "-t", "0", first.id)
    _eventually(lambda: len(shown) == 3)
    composed.write(again=again, late=_shell("echo late; sleep 1000"))
    engine.run(*composed.up)
    _eventually(lambda: len(shown) == 4)
    engine.run("compose", "-p", composed.name, "-f", str(composed.file), "down", "-t", "0")
    reader.join(_WAIT_S)
    assert not reader.is_alive()
    assert shown == [("again", "went on"), ("again", "begins"), ("again", "went on"), ("late", "late")]


def test_only_the_requested_services_are_followed(engine: Engine, composed: Composed) -> None:
    speaking = "for i in 1 2 3; do echo $i; sleep 0.2; done; echo end >&2; sleep 1000"
    composed.write(one=_shell(speaking), other=_shell(speaking))
    engine.run(*composed.up)
    shown: list[LogLine] = []
    with contextlib.closing(follow(engine, composed.name, ["one"], lines=100)) as lines:
        for line in lines:
            shown.append(line)
            if line.text == "end":
                break
        children = _children_of(engine.program)
        assert len(children) == 1
    assert {each.service for each in shown} == {"one"}
    assert [each.text for each in shown if each.stream == "stdout"] == ["1", "2", "3"]
    assert [each.text for each in shown if each.stream == "stderr"] == ["end"]
    # No child process is left.
    assert _children_of(engine.program) == []


def _children_of(program: str) -> list[str]:
    """Returns the command lines of running `docker logs` of this process."""
    command = ["ps", "--ppid", str(os.getpid()), "-o", "args="]
    listed = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in listed.stdout.splitlines() if line.startswith(f"{program} logs")]


def test_taken_port_is_named_with_its_key(engine: Engine, composed: Composed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        composed.write(envoy={**_SLEEPING, "ports": [f"127.0.0.1:{port}:80"]})
        assert composed.refused(ingress=port).startswith(
            f"port {port} (listeners.ingress.port) is taken on 127.0.0.1\n"
        )
    composed.write(envoy={**_SLEEPING, "ports": [f"127.0.0.1:{port}:80"]})
    engine.run(*composed.up)
    composed.write(
        envoy={**_SLEEPING, "ports": [f"127.0.0.1:{port}:80"]}, other={**_SLEEPING, "ports": [f"127.0.0.1:{port}:80"]}
    )
    assert composed.refused(egress=port).startswith(f"port {port} (listeners.egress.port) is taken on 127.0.0.1\n")


def test_failed_dependency_is_shown_with_its_last_lines(composed: Composed) -> None:
    after = {"depends_on": {"triton": {"condition": "service_healthy"}}}
    check = {"test": ["CMD", "false"], "interval": "1s", "retries": 1}
    composed.write(triton=_shell("echo no such model >&2; sleep 1000", healthcheck=check), envoy={**_SLEEPING, **after})
    assert composed.refused() == (
        f"the container {composed.name}-triton-1 runs but is not healthy; the last lines of its log:\n  no such model"
    )
    composed.write(triton=_shell("echo no memory; exit 4", healthcheck=check), envoy={**_SLEEPING, **after})
    assert composed.refused() == (
        f"the container {composed.name}-triton-1 ended with exit code 4; the last lines of its log:\n  no memory"
    )
    completed = {"depends_on": {"models": {"condition": "service_completed_successfully"}}}
    composed.write(models=_shell("echo no seed; exit 5"), envoy={**_SLEEPING, **completed})
    assert composed.refused() == (
        "the container of the service models ended with exit code 5; the last lines of its log:\n  no seed"
    )


def test_missing_gpu_support_is_named(engine: Engine, composed: Composed) -> None:
    if "nvidia" in engine.info().runtimes or shutil.which("nvidia-smi"):
        pytest.skip("this engine has a GPU to give")
    gpu = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    composed.write(triton={**_SLEEPING, "deploy": {"resources": {"reservations": {"devices": [gpu]}}}})
    assert composed.refused().startswith("this Docker engine cannot give a container an NVIDIA GPU\n")


def test_folder_unknown_to_the_engine_is_named(composed: Composed) -> None:
    bind = {"type": "bind", "source": "/nonexistent", "target": "/x", "bind": {"create_host_path": False}}
    composed.write(triton={**_SLEEPING, "volumes": [bind]})
    assert composed.refused().startswith(
        "starting the containers failed: the Docker engine does not see /nonexistent\n"
    )


def test_waiting_start_can_be_killed(composed: Composed) -> None:
    never = {"test": ["CMD", "false"], "interval": "1s", "retries": 1000}
    after = {"depends_on": {"triton": {"condition": "service_healthy"}}}
    composed.write(triton={**_SLEEPING, "healthcheck": never}, envoy={**_SLEEPING, **after})
    with composed.engine.start(*composed.up) as running:
        _eventually(lambda: "triton-1  Waiting" in running.output)
        assert running.poll() is None
    left = subprocess.run(["pgrep", "-f", composed.name], capture_output=True, text=True, check=False)  # noqa: S607
    assert left.stdout == ""
    # Containers that it had started continue.
    assert composed.containers()["triton"].running

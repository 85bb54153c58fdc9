"""The engine, with a shell script as `docker`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from controlplane.errors import RuntimeFault
from controlplane.runtime.docker.engine import Engine, unavailable_reason
from controlplane.runtime.docker.engine_objects import decode_containers

Script = Callable[[str], dict[str, str]]

_VERSION = json.dumps(
    {
        "Client": {"Version": "28.2.2", "ApiVersion": "1.41"},
        "Server": {"Version": "20.10.24+dfsg1", "ApiVersion": "1.41", "Os": "linux"},
    }
)
_INFO = json.dumps(
    {
        "OSType": "linux",
        "NCPU": 2,
        "MemTotal": 1024,
        "Runtimes": {"runc": {"path": "runc"}, "nvidia": {"path": "nvidia-container-runtime"}},
        "SecurityOptions": ["name=seccomp,profile=default", "name=rootless"],
    }
)


def _answers(version: str = _VERSION, info: str = _INFO, compose: str = "echo 2.26.1-4") -> str:
    return f"""case "$1" in
version) echo '{version}';;
info) echo '{info}';;
compose) {compose};;
esac"""


@pytest.fixture
def script(tmp_path: Path) -> Script:
    """Creates a script `docker`. Returns the environment to find it."""

    def make(text: str) -> dict[str, str]:
        path = tmp_path / "docker"
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}

    return make


def test_no_engine_without_the_docker_command(tmp_path: Path) -> None:
    with pytest.raises(RuntimeFault, match="there is no `docker` on PATH"):
        Engine.find({"PATH": str(tmp_path)})
    assert unavailable_reason({"PATH": str(tmp_path)}) == "there is no `docker` on PATH"


def test_accepts_a_new_enough_engine(script: Script) -> None:
    environ = script(_answers())
    info = Engine.find(environ).check()
    assert (info.version, info.api, info.rootless) == ("20.10.24+dfsg1", "1.41", True)
    assert info.runtimes == ("nvidia", "runc")
    assert unavailable_reason(environ) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(
            _answers(_VERSION.replace("20.10.24+dfsg1", "19.03.15")),
            "the Docker engine is 19.03.15, and archgw needs 20.10 or newer",
            id="engine too old",
        ),
        pytest.param(
            _answers(info=_INFO.replace("linux", "windows")),
            "the Docker engine runs containers of windows, and archgw's are of Linux",
            id="containers of Windows",
        ),
        pytest.param(
            _answers(compose="echo \"docker: 'compose' is not a docker command.\" >&2; exit 1"),
            "`docker compose` is missing: archgw needs the Compose plugin 2.20 or newer "
            "(`docker-compose` with a hyphen is another program)",
            id="no plugin",
        ),
        pytest.param(
            _answers(compose="echo v2.6.1"),
            "`docker compose` is v2.6.1: archgw needs the Compose plugin 2.20 or newer "
            "(`docker-compose` with a hyphen is another program)",
            id="plugin too old",
        ),
        # `docker info` 20.10 succeeds without an engine.
        pytest.param(
            _answers(info='{"ServerErrors":["Cannot connect to the Docker daemon at unix:///x. Is it running?"]}'),
            "no Docker engine answers at unix:///x",
            id="an error inside the answer",
        ),
        pytest.param(
            "echo podman version 4.3",
            "`docker` on PATH does not answer as Docker does: JSON is malformed: invalid character (byte 0)",
            id="another program",
        ),
        pytest.param(
            _answers('{"Client": {"Version": "4", "ApiVersion": "1"}}'),
            "`docker` on PATH does not answer as Docker does: `docker version` names no server",
            id="no server",
        ),
    ],
)
def test_explains_an_unusable_engine_in_one_line(script: Script, text: str, reason: str) -> None:
    environ = script(text)
    with pytest.raises(RuntimeFault) as caught:
        Engine.find(environ).check()
    assert str(caught.value).startswith(f"{reason}\n")
    assert unavailable_reason(environ) == reason


def test_kills_a_hanging_command_with_its_children(script: Script, tmp_path: Path) -> None:
    engine = Engine.find(script(f"sleep 300 & echo $! > {tmp_path}/child; wait"))
    with pytest.raises(RuntimeFault, match=r"Docker did not answer within 0\.5 s: docker ps"):
        engine.run("ps", timeout_s=0.5)
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 5
    while _lives(child):
        assert time.monotonic() < deadline


def _lives(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_passes_docker_variables_but_no_provider_keys(script: Script) -> None:
    environ = script("env") | {
        "DOCKER_HOST": "ssh://build",
        "XDG_RUNTIME_DIR": "/run/user/7",
        "SSH_AUTH_SOCK": "/run/agent",
        "https_proxy": "http://proxy:1",
        "OPENAI_API_KEY": "sk-1",
        "COMPOSE_PROJECT_NAME": "another",
        "LANG": "de_DE.UTF-8",
    }
    seen = dict(line.split("=", 1) for line in Engine.find(environ).run("ps").splitlines())
    expected = environ | {"LANG": "C", "LC_ALL": "C"}
    del expected["OPENAI_API_KEY"], expected["COMPOSE_PROJECT_NAME"]
    # The shell adds some variables.
    assert {name: value for name, value in seen.items() if name not in {"PWD", "_", "SHLVL", "OLDPWD"}} == expected
    assert "OPENAI" not in repr(Engine.find(environ))


def test_passes_input_and_never_waits_for_a_terminal(script: Script) -> None:
    engine = Engine.find(script("cat"))
    assert engine.run("load", input="two\nlines") == "two\nlines"
    assert engine.run("load") == ""


def test_failure_names_the_action(script: Script) -> None:
    engine = Engine.find(script("echo half; echo 'no space left on device' >&2; exit 1"))
    with pytest.raises(RuntimeFault, match=r"^loading the image failed: the disk of the Docker engine is full"):
        engine.run("load", doing="loading the image")


def test_rejects_endless_output(script: Script) -> None:
    engine = Engine.find(script("head -c 20000000 /dev/zero"))
    with pytest.raises(RuntimeFault, match="more than 16 MiB from docker ps"):
        engine.run("ps")


def test_streams_lines_and_reports_failure(script: Script) -> None:
    engine = Engine.find(script("printf 'one\\r1 %%\\033[1Amoved\\n'; echo 'toomanyrequests: slow down' >&2; exit 1"))
    lines: list[str] = []
    with pytest.raises(RuntimeFault, match=r"^fetching failed: the registry allows no more downloads"):
        engine.stream("pull", "x", on_line=lines.append, doing="fetching")
    assert lines == ["one", "1 %moved", "toomanyrequests: slow down"]


def test_ends_the_command_if_the_reader_raises(script: Script, tmp_path: Path) -> None:
    engine = Engine.find(script(f"echo $$ > {tmp_path}/pid; echo one; exec sleep 300"))

    def leave(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.stream("build", on_line=leave)
    assert not _lives(int((tmp_path / "pid").read_text()))


def test_started_command_can_be_watched_and_killed(script: Script, tmp_path: Path) -> None:
    engine = Engine.find(script(f"echo Creating >&2; echo $$ > {tmp_path}/pid; exec sleep 300"))
    with engine.start("compose", "up") as running:
        deadline = time.monotonic() + 5
        while running.output != "Creating\n":
            assert time.monotonic() < deadline
        assert running.wait(0.01) is None
        assert running.poll() is None
        running.kill()
        assert running.poll() == -15
    assert not _lives(int((tmp_path / "pid").read_text()))


def test_ended_command_keeps_its_output(script: Script) -> None:
    with Engine.find(script("echo Creating >&2; echo failed >&2; exit 18")).start("compose", "up") as running:
        assert running.wait(5) == 18
        assert running.output == "Creating\nfailed\n"


def test_keeps_only_the_end_of_long_output(script: Script) -> None:
    with Engine.find(script("yes | head -c 200000; echo last")).start("compose", "up") as running:
        assert running.wait(10) == 0
        assert len(running.output) == 64 << 10
        assert running.output.endswith("last\n")


@pytest.mark.parametrize("fetched", [True, False])
def test_can_pull_an_image_that_the_registry_has(script: Script, fetched: bool) -> None:
    engine = Engine.find(script(f'[ "$*" = "manifest inspect a:1" ] && {str(fetched).lower()}'))
    assert engine.can_pull("a:1") is fetched


def test_cannot_pull_from_a_hanging_registry(script: Script) -> None:
    assert Engine.find(script("sleep 60")).can_pull("a:1", timeout_s=0.2) is False


def test_explains_a_fault_without_a_readable_log(script: Script) -> None:
    engine = Engine.find(script("echo 'Cannot connect to the Docker daemon at unix:///x.' >&2; exit 1"))
    fault = engine.fault("starting", 'service "models" didn\'t complete successfully: exit 3', project="p")
    assert str(fault) == "the container of the service models ended with exit code 3; its log is empty"


def test_fetches_the_log_of_the_blamed_service(script: Script) -> None:
    inspected = json.dumps(_INSPECTED)
    engine = Engine.find(
        script(
            f"""case "$1" in
ps) echo abc;;
inspect) printf '%s\\n' '{inspected}';;
logs) [ "$4" = {_INSPECTED["Id"]} ] && echo 'no such model';;
esac"""
        )
    )
    fault = engine.fault("starting", 'service "triton" didn\'t complete successfully: exit 3', project="p")
    assert str(fault).endswith("the last lines of its log:\n  no such model")


# From `docker inspect` of engine 20.10.24, shortened.
_INSPECTED = {
    "Id": "d092c9b5fe5d",
    "Created": "2026-11-22T23:11:44.126402041Z",
    "State": {
        "Status": "running",
        "Running": True,
        "OOMKilled": False,
        "Pid": 17713,
        "ExitCode": 0,
        "Error": "",
        "StartedAt": "2026-11-22T23:11:44.483371188Z",
        "FinishedAt": "0001-01-01T00:00:00Z",
        "Health": {
            "Status": "unhealthy",
            "FailingStreak": 2,
            "Log": [{"ExitCode": 1, "Output": "first\n"}, {"ExitCode": 1, "Output": "refused\n\u001b[2Jby it\n"}],
        },
    },
    "Image": "sha256:8956fbb5",
    "Name": "/archgw-triton-1",
    "RestartCount": 3,
    "Config": {
        "Image": "archgw-triton:1-cpu",
        "Env": ["PATH=/bin"],
        "Labels": {"com.docker.compose.project": "archgw", "com.docker.compose.service": "triton"},
    },
}


def _inspected(**changes: object) -> str:
    return json.dumps(_INSPECTED | changes)


def test_decodes_a_container() -> None:
    (container,) = decode_containers(_inspected() + "\n")
    assert (container.service, container.id, container.name) == ("triton", "d092c9b5fe5d", "archgw-triton-1")
    assert (container.state, container.running, container.pid, container.restarts) == ("running", True, 17713, 3)
    assert (container.health, container.check) == ("unhealthy", "refused by it")
    assert container.started_at == pytest.approx(1795389104.483371)
    assert container.finished_at == 0
    assert (container.image, container.image_id) == ("archgw-triton:1-cpu", "sha256:8956fbb5")
    assert container.labels["com.docker.compose.project"] == "archgw"
    assert not container.oneoff


def test_decodes_a_container_that_never_ran() -> None:
    never = {"StartedAt": "0001-01-01T00:00:00Z", "FinishedAt": "0001-01-01T00:00:00Z"}
    state = never | {"Status": "created", "Pid": 0, "ExitCode": 128, "Error": "could not select\x07 device driver"}
    (container,) = decode_containers(_inspected(State=state))
    assert (container.pid, container.health, container.check, container.started_at) == (None, None, "", 0)
    assert (container.exit_code, container.error) == (128, "could not select device driver")


def test_health_is_none_without_a_health_check() -> None:
    state = _INSPECTED["State"] | {"Health": {"Status": "none", "Log": None}}  # type: ignore[operator]
    (container,) = decode_containers(_inspected(State=state))
    assert container.health is None


def test_orders_containers_and_marks_oneoffs() -> None:
    def labelled(service: str, **more: str) -> str:
        return _inspected(Config={"Image": "i", "Labels": {"com.docker.compose.service": service, **more}})

    found = decode_containers(
        "\n".join([labelled("triton"), labelled("envoy"), labelled("models", **{"com.docker.compose.oneoff": "True"})])
    )
    assert [(each.service, each.oneoff) for each in found] == [("envoy", False), ("models", True), ("triton", False)]


def test_project_without_containers(script: Script) -> None:
    assert Engine.find(script(":")).containers("archgw") == ()


def test_ignores_a_container_that_was_removed_meanwhile(script: Script) -> None:
    text = f"""case "$1" in
ps) echo abc def;;
inspect) printf '%s\\n' '{json.dumps(_INSPECTED)}'; echo 'Error: No such object: def' >&2; exit 1;;
esac"""
    assert [each.service for each in Engine.find(script(text)).containers("archgw")] == ["triton"]


def test_finds_docker_on_the_given_path(script: Script) -> None:
    environ = script("echo mine")
    assert Engine.find(environ).program == str(Path(environ["PATH"].split(os.pathsep)[0]) / "docker")


def test_reads_the_published_ports_of_a_container(script: Script) -> None:
    lines = ("10000/tcp -> 0.0.0.0:21400", "10000/tcp -> [::]:21400", "12000/tcp -> :::21401")
    engine = Engine.find(script(f"""[ "$*" = "port id" ] && printf '%s\\n' '{"' '".join(lines)}'"""))
    assert engine.ports("id") == {21400, 21401}

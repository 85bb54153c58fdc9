"""The containers of a gateway: privileges, health checks, published ports, and no key in sight."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest

from controlplane.runtime.runner import Runtime
from tests.dataplane.gateway import KEYS
from tests.dataplane.prompts import user
from tests.dataplane.stack import CLIENT_KEY, Stack, wait_for
from tests.docker.engine import docker, try_docker
from tests.docker.project import Project
from tests.support.llm_provider import LlmProvider

pytestmark = pytest.mark.runtime(Runtime.DOCKER, why="of containers alone")

# Fills the volume of models, and ends.
_ONCE: Final = "models"
_CHUNK: Final = 1 << 22


@pytest.fixture
def containers(project: Project) -> dict[str, dict[str, Any]]:
    return project.containers()


def test_containers_are_the_services_and_the_models_job(containers: dict[str, dict[str, Any]]) -> None:
    workers = {service for service in containers if service.startswith("extproc-")}
    assert workers >= {"extproc-0"}
    assert containers.keys() - workers == {"envoy", "triton", _ONCE}
    assert containers[_ONCE]["State"]["ExitCode"] == 0


def test_containers_have_no_extra_privileges(containers: dict[str, dict[str, Any]]) -> None:
    for service, each in containers.items():
        host = each["HostConfig"]
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert "no-new-privileges" in str(host["SecurityOpt"]), service
        assert not host["Privileged"], service
        assert not host["Devices"], service
        assert (host["PidMode"], host["UTSMode"], host["UsernsMode"]) == ("", "", ""), service
        assert host["IpcMode"] in {"private", "shareable"}, service
        assert host["NetworkMode"] not in {"host", "bridge"}, service
        assert host["Memory"] > 0, service
        assert host["PidsLimit"] > 0, service
        assert host["LogConfig"]["Type"] == "json-file", service
        assert {"max-size", "max-file"} <= host["LogConfig"]["Config"].keys(), service
        assert "docker.sock" not in str(each["Mounts"]), service


def test_kernel_enforces_the_privileges(containers: dict[str, dict[str, Any]]) -> None:
    for service, each in containers.items():
        if service == _ONCE:
            continue
        lines = Path(f"/proc/{each['State']['Pid']}/status").read_text().splitlines()
        status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
        assert "0" not in status["Uid"] + status["Gid"] + status["Groups"], service
        assert {int(status[name][0], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh")} == {0}, service
        assert status["NoNewPrivs"] == ["1"], service
        refused = try_docker("exec", each["Id"], "sh", "-c", "echo >/new-file")
        assert refused.returncode != 0, service
        assert "Read-only file system" in refused.stderr, service


def test_containers_are_healthy_and_restarted(project: Project) -> None:
    # The engine makes the first health check some seconds after a start.
    wait_for(lambda: all(_health(each) != "starting" for each in project.containers().values()))
    for service, each in project.containers().items():
        if service == _ONCE:
            assert each["HostConfig"]["RestartPolicy"]["Name"] in {"", "no"}
            continue
        assert each["Config"]["Healthcheck"]["Test"], service
        assert _health(each) == "healthy", service
        assert each["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped", service


def _health(container: dict[str, Any]) -> str | None:
    """Returns the health, or None without a health check."""
    status: str | None = container["State"].get("Health", {}).get("Status")
    return status


def test_only_the_listeners_are_published(stack: Stack, containers: dict[str, dict[str, Any]]) -> None:
    published = {
        (service, binding["HostIp"], int(binding["HostPort"]))
        for service, each in containers.items()
        for bindings in (each["NetworkSettings"]["Ports"] or {}).values()
        for binding in bindings or ()
    }
    listeners = stack.config["listeners"].values()
    assert published == {("envoy", listener["address"], listener["port"]) for listener in listeners}


def test_only_envoy_mounts_the_keys(stack: Stack, containers: dict[str, dict[str, Any]]) -> None:
    secrets = str((stack.run_dir / "secrets").resolve())
    readers = {
        service
        for service, each in containers.items()
        for mount in each["Mounts"]
        if mount.get("Source", "").startswith(secrets) or secrets.startswith(f"{mount.get('Source')}/")
    }
    assert readers == {"envoy"}


@pytest.fixture
def used(stack: Stack, provider: LlmProvider) -> Stack:
    """A gateway that has sent its keys, and has received the key of a client."""
    answer = stack.post("egress", {"messages": user("hi")}, {"authorization": f"Bearer {CLIENT_KEY}"})
    # Waits for its line in the log.
    stack.access(answer.headers["x-request-id"])
    return stack


def test_no_key_is_in_containers_networks_volumes_or_the_compose_file(used: Stack, project: Project) -> None:
    texts = [
        json.dumps(project.containers()),
        *(docker("network", "inspect", each) for each in project.networks()),
        *(docker("volume", "inspect", each) for each in project.volumes()),
        docker("compose", "--file", str(project.file), "config"),
        project.file.read_text(),
    ]
    assert all(len(text) > 100 for text in texts)
    assert [key for key in (*KEYS.values(), CLIENT_KEY) for text in texts if key in text] == []


def test_no_key_is_in_a_log(used: Stack, containers: dict[str, dict[str, Any]]) -> None:
    logs = {service: try_docker("logs", each["Id"]) for service, each in containers.items()}
    keys = (*KEYS.values(), CLIENT_KEY)
    assert "provider_main" in logs["envoy"].stdout
    assert [service for service, log in logs.items() for key in keys if key in log.stdout + log.stderr] == []


def test_no_key_is_in_an_image_or_its_history(containers: dict[str, dict[str, Any]]) -> None:
    images = sorted({each["Config"]["Image"] for each in containers.values()})
    assert len(images) == 4
    for image in images:
        history = docker("history", "--no-trunc", "--format", "{{json .}}", image)
        assert [key for key in KEYS.values() if key in history] == []
    # Only layers of this image have files of the checkout. The other images contain packages only.
    (ours,) = {each["Config"]["Image"] for service, each in containers.items() if service.startswith("extproc-")}
    assert _found_in_layers(ours, [key.encode() for key in KEYS.values()]) == []


def _found_in_layers(image: str, needles: list[bytes]) -> list[bytes]:
    """Returns the needles in the layers of an image, which `docker save` writes uncompressed."""
    longest = max(map(len, needles))
    found: set[bytes] = set()
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:  # noqa: S607
        assert saving.stdout is not None
        before = b""
        while piece := saving.stdout.read(_CHUNK):
            found.update(needle for needle in needles if needle in before + piece)
            before = piece[-longest:]
    assert saving.returncode == 0
    return sorted(found)

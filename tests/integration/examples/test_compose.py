"""examples/compose: the hand-written compose.yaml matches the one that `archgw up` writes."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from controlplane.config.model_serving import Mode
from controlplane.runtime.command_lines import envoy_arguments, worker_arguments
from controlplane.runtime.docker.container_environment import CONTAINER_LAYOUT
from controlplane.runtime.docker.images import Variant, required_images
from tests.unit.controlplane.runtime.docker.gateways import gateway, has_compose, rendered, services

EXAMPLE: Final = Path(__file__).resolve().parents[3] / "examples" / "compose"
CONFIG: Final = (EXAMPLE / "arch_config.yaml").read_text()
FILE: Final[dict[str, Any]] = yaml.safe_load((EXAMPLE / "compose.yaml").read_text())
SERVICES: Final[dict[str, dict[str, Any]]] = FILE["services"]
# Services that run once and exit.
ONCE: Final = {"render", "models"}
needs_compose = pytest.mark.skipif(not has_compose(), reason="no `docker` with the Compose plugin is installed here")


def as_compose_reads_it(folder: Path, **variables: str) -> dict[str, dict[str, Any]]:
    """Returns the services as `docker compose` resolves them with these variables."""
    (folder / "keys").mkdir()
    (folder / "keys" / ".env").touch()
    for name in ("compose.yaml", "arch_config.yaml"):
        (folder / name).symlink_to(EXAMPLE / name)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ARCHGW_", "COMPOSE_"))}
    done = subprocess.run(
        ["docker", "compose", "--project-directory", ".", "config", "--format", "json"],  # noqa: S607
        cwd=folder,
        env={**env, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)["services"]
    return found


def test_images_have_this_version_and_one_repository() -> None:
    prefix = "${ARCHGW_IMAGES:+${ARCHGW_IMAGES:-}/}"
    plain = [image.replace(prefix, "") for image in FILE["x-images"]]
    assert plain == list(required_images(Variant.CPU, local=True, registry=None).needed)
    assert {service["image"] for service in SERVICES.values()} == set(FILE["x-images"])


@needs_compose
@pytest.mark.parametrize("registry", [None, "ghcr.io/acme"])
def test_one_variable_sets_the_registry(registry: str | None, tmp_path: Path) -> None:
    found = as_compose_reads_it(tmp_path, **({} if registry is None else {"ARCHGW_IMAGES": registry}))
    needed = required_images(Variant.CPU, local=True, registry=registry).needed
    assert {service["image"] for service in found.values()} == set(needed)


@needs_compose
def test_only_envoy_publishes_ports_by_default_on_loopback(tmp_path: Path) -> None:
    found = as_compose_reads_it(tmp_path, ARCHGW_INGRESS="192.0.2.1:80")
    ports = {name: service["ports"] for name, service in found.items() if "ports" in service}
    assert ports.keys() == {"envoy"}
    published = {(each["host_ip"], each["published"], each["target"]) for each in ports["envoy"]}
    assert published == {("192.0.2.1", "80", 10000), ("127.0.0.1", "12000", 12000)}


@pytest.mark.parametrize("name", SERVICES)
def test_each_service_has_minimal_privileges(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] == "10001:10001"
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]  # noqa: S108
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert {"max-size", "max-file"} <= service["logging"]["options"].keys()
    assert service["mem_limit"]
    assert service["pids_limit"] > 0
    assert not {"privileged", "cap_add", "pid", "ipc", "devices", "env_file"} & service.keys()
    assert service.get("network_mode") == ("none" if name in {*ONCE, "triton"} else None)
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert ("healthcheck" in service) is (name not in ONCE)


def test_keys_are_mounted_into_render_and_envoy_only() -> None:
    assert {name for name, service in SERVICES.items() if "secrets" in service} == {"render"}
    holders = {
        name: mount.get("read_only", False)
        for name, service in SERVICES.items()
        for mount in service.get("volumes", ())
        if mount["source"] == "secrets"
    }
    assert holders == {"render": False, "envoy": True}


def test_volumes_are_writable_only_where_needed() -> None:
    writers = {
        (name, mount["source"])
        for name, service in SERVICES.items()
        for mount in service.get("volumes", ())
        if not mount.get("read_only")
    }
    sockets = {(name, "sockets") for name in ("envoy", "extproc-0", "extproc-1", "extproc-2")}
    models = {(name, "triton") for name in ("envoy", "extproc-0", "extproc-1", "extproc-2", "triton")}
    assert writers == sockets | models | {("render", "rendered"), ("render", "secrets"), ("models", "models")}


def test_commands_and_environment_match_those_of_archgw(tmp_path: Path) -> None:
    compiled = gateway(CONFIG, tmp_path, Mode.LOCAL_CPU)
    assert tuple(SERVICES["envoy"]["command"]) == envoy_arguments(compiled.envoy, CONTAINER_LAYOUT)
    workers = [name for name in SERVICES if name.startswith("extproc-")]
    for index, name in enumerate(workers):
        assert tuple(SERVICES[name]["command"]) == (
            "python",
            *worker_arguments(compiled.envoy, CONTAINER_LAYOUT, index),
        )
    assert SERVICES["render"]["command"][-2:] == ["--workers", str(len(workers) - 1)]
    # The example loads all rendered models, independent of the configuration.
    theirs = services(rendered(CONFIG, tmp_path, Mode.LOCAL_CPU))["triton"]["command"]
    arguments, ours = set(theirs), set(SERVICES["triton"]["command"])
    assert ours - arguments == {"--load-model=*"}
    assert {each.partition("=")[0] for each in arguments - ours} == {"--load-model"}
    assert SERVICES["triton"]["command"][:5] == theirs[:5]


def test_dependencies_and_health_checks_match_those_of_archgw(tmp_path: Path) -> None:
    theirs = services(rendered(CONFIG, tmp_path, Mode.LOCAL_CPU, quick_start=True))
    assert SERVICES.keys() == theirs.keys() | {"render"}
    for name, service in theirs.items():
        for key in ("healthcheck", "shm_size", "pids_limit", "stop_grace_period", "entrypoint", "extra_hosts"):
            assert SERVICES[name].get(key) == service.get(key), (name, key)
        waits = {each: how for each, how in SERVICES[name].get("depends_on", {}).items() if each != "render"}
        assert waits == service.get("depends_on", {})
    done = {"condition": "service_completed_successfully"}
    after = {name for name, service in SERVICES.items() if service.get("depends_on", {}).get("render") == done}
    assert after == {"triton", "extproc-0", "extproc-1", "extproc-2"}

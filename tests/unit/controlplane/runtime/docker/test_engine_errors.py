"""Docker's errors, explained on one screen with the way out."""

# ruff: noqa: E501 - Docker's messages, unwrapped

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.runtime.docker import engine_errors

_PORTS = {10000: "listeners.ingress.port", 12000: "listeners.egress.port"}
_ENDPOINT = "Error response from daemon: driver failed programming external connectivity on endpoint archgw-envoy-1 (b201eb37e67a)"

# Provoked with engine 20.10.24, command line 28.2.2, Compose 2.26.1 and buildx 0.13.1. Only names and ports were changed.
_RECORDED = {
    "no engine": (
        "Cannot connect to the Docker daemon at unix:///nonexistent. Is the docker daemon running?",
        "no Docker engine answers at unix:///nonexistent\n",
    ),
    "no engine, tcp": (
        "Cannot connect to the Docker daemon at tcp://127.0.0.1:1. Is the docker daemon running?",
        "no Docker engine answers at tcp://127.0.0.1:1\n",
    ),
    # Not an image registry, although the message is the same.
    "no such host of an engine": (
        'error during connect: Get "http://nohost.invalid:1/v1.50/version": dial tcp: lookup nohost.invalid on 10.0.0.53:53: no such host',
        "no Docker engine answers at http://nohost.invalid:1\n",
    ),
    "ssh": (
        'error during connect: Get "http://docker.example.com/v1.50/containers/json": command [ssh -o ConnectTimeout=30 -T -l nobody -- 127.0.0.1 docker system dial-stdio] has exited with exit status 255, make sure the URL is valid, and Docker 18.09 or later is installed on the remote host: stderr=ssh: connect to host 127.0.0.1 port 22: Connection refused',
        "no Docker engine answers\n",
    ),
    "context": (
        'Failed to initialize: unable to resolve docker endpoint: context "nope": context not found: open /root/.docker/contexts/meta/ca37/meta.json: no such file or directory',
        "there is no Docker context nope\n",
    ),
    "permission": (
        'permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock: Get "http://%2Fvar%2Frun%2Fdocker.sock/v1.50/version": dial unix /var/run/docker.sock: connect: permission denied',
        "you may not use the Docker engine: permission denied on unix:///var/run/docker.sock\n",
    ),
    "port of a process": (
        f"{_ENDPOINT}: Error starting userland proxy: listen tcp4 127.0.0.1:12000: bind: address already in use",
        "port 12000 (listeners.egress.port) is taken on 127.0.0.1\n",
    ),
    "port of a container": (
        f"{_ENDPOINT}: Bind for 0.0.0.0:10000 failed: port is already allocated",
        "port 10000 (listeners.ingress.port) is taken on 0.0.0.0\n",
    ),
    "address": (
        f"{_ENDPOINT}: Error starting userland proxy: listen tcp4 10.9.8.7:10000: bind: cannot assign requested address",
        "cannot listen on 10.9.8.7:10000 (listeners.ingress.port): the engine's machine has no such address\n",
    ),
    "image, compose": (
        ' triton Pulling \n triton Error Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.53:53: no such host\n'
        'Error response from daemon: Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.53:53: no such host',
        "starting the containers failed: an image is not here, and its registry does not answer\n",
    ),
    "image, never pulled": (
        " Container archgw-triton-1  Creating\nError response from daemon: no such image: archgw-triton:1: No such image: archgw-triton:1",
        "starting the containers failed: an image is neither here nor in its registry, or that one wants a login\n",
    ),
    "base image, BuildKit": (
        "ERROR: failed to solve: rpc error: code = Unknown desc = failed to solve with frontend dockerfile.v0: failed to create LLB definition: failed to do request: "
        'Head "https://registry-1.docker.io/v2/library/nope-nope/manifests/1": dial tcp: lookup registry-1.docker.io on 10.0.0.53:53: no such host',
        "starting the containers failed: an image is not here, and its registry does not answer\n",
    ),
    "base image, classic": (
        'Step 1/2 : FROM nope-nope:1\nGet "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on 10.0.0.53:53: no such host',
        "starting the containers failed: an image is not here, and its registry does not answer\n",
    ),
    # A build step that resolves a host, not an unreachable registry.
    "step, BuildKit": (
        " > [2/2] RUN pip install numpy:\n0.229 Temporary failure in name resolution\n------\n"
        "ERROR: failed to solve: executor failed running [/bin/sh -c pip install numpy]: exit code: 1",
        "starting the containers failed at the step: /bin/sh -c pip install numpy\n",
    ),
    "step, classic": (
        "Step 2/2 : RUN echo one && false\n ---> Running in 6a8f63dd4339\none\nThe command '/bin/sh -c echo one && false' returned a non-zero code: 1",
        "starting the containers failed at the step: /bin/sh -c echo one && false\n",
    ),
    "gpu of a reservation": (
        'Error response from daemon: could not select device driver "nvidia" with capabilities: [[gpu]]',
        "this Docker engine cannot give a container an NVIDIA GPU\n",
    ),
    "gpu of a runtime": (
        "Error response from daemon: Unknown runtime specified nvidia",
        "this Docker engine cannot give a container an NVIDIA GPU\n",
    ),
    "unhealthy": (
        " Container archgw-triton-1  Error\ndependency failed to start: container archgw-triton-1 is unhealthy",
        "the container archgw-triton-1 runs but is not healthy; the last lines of its log:\n  why\n",
    ),
    "exited": (
        " Container archgw-triton-1  Error\ndependency failed to start: container archgw-triton-1 exited (4)",
        "the container archgw-triton-1 ended with exit code 4; the last lines of its log:\n  why\n",
    ),
    "one-shot": (
        ' Container archgw-models-1  service "models" didn\'t complete successfully: exit 3\n'
        'service "models" didn\'t complete successfully: exit 3',
        "the container of the service models ended with exit code 3; the last lines of its log:\n  why\n",
    ),
    "mount of nothing": (
        'Error response from daemon: invalid mount config for type "bind": bind source path does not exist: /srv/hub',
        "starting the containers failed: the Docker engine does not see /srv/hub\n",
    ),
    "mount of another kind": (
        "Error response from daemon: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "
        'error during container init: error mounting "/srv/a" to rootfs at "/etc": mount /srv/a:/etc (via /proc/self/fd/6), flags: 0x5000: not a directory: unknown',
        "starting the containers failed: a file could not be mounted into its container\n",
    ),
    "something else": (
        "validating /srv/compose.yaml: services.b Additional property bogus is not allowed",
        "starting the containers failed, and Docker says:\n  validating /srv/compose.yaml: services.b Additional property bogus",
    ),
    "nothing": ("", "starting the containers failed, and Docker says: nothing\n"),
}  # fmt: skip

# Reported by users of other versions; not provoked.
_REPORTED = {
    "no engine, 29": (
        "failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory",
        "no Docker engine answers at unix:///var/run/docker.sock\n",
    ),
    "permission, 29": (
        "permission denied while trying to connect to the docker API at unix:///var/run/docker.sock",
        "you may not use the Docker engine: permission denied on unix:///var/run/docker.sock\n",
    ),
    "port, 28": (
        "Error response from daemon: failed to set up container networking: driver failed programming external connectivity on endpoint x (ab): failed to bind host port for 127.0.0.1:12000:172.18.0.3:12000/tcp: address already in use",
        "port 12000 (listeners.egress.port) is taken on 127.0.0.1\n",
    ),
    "port, Docker Desktop": (
        "Error response from daemon: Ports are not available: exposing port TCP 0.0.0.0:10000 -> 0.0.0.0:0: listen tcp 0.0.0.0:10000: bind: address already in use",
        "port 10000 (listeners.ingress.port) is taken on 0.0.0.0\n",
    ),
    "port, IPv6": (
        f"{_ENDPOINT}: Error starting userland proxy: listen tcp6 [::1]:12000: bind: address already in use",
        "port 12000 (listeners.egress.port) is taken on ::1\n",
    ),
    "port without its number": (
        "Error response from daemon: Ports are not available: listen tcp: address already in use",
        "a port to publish is taken (10000 listeners.ingress.port, 12000 listeners.egress.port)\n",
    ),
    "privileged port": (
        f"{_ENDPOINT}: Error starting userland proxy: error while calling PortManager.AddPort(): cannot expose privileged port 443, you can add 'net.ipv4.ip_unprivileged_port_start=443' to /etc/sysctl.conf (currently 1024), or choose a larger port number (>= 1024): listen tcp4 0.0.0.0:443: bind: permission denied",
        "the engine may not listen on port 443\n",
    ),
    "disk, pull": (
        "failed to register layer: write /opt/conda/lib/libstdc++.so.6.0.33: no space left on device",
        "starting the containers failed: the disk of the Docker engine is full\n",
    ),
    "disk, a step": (
        'ERROR: failed to solve: process "/bin/sh -c pip install torch" did not complete successfully: exit code: 1\nOSError: [Errno 28] No space left on device',
        "starting the containers failed: the disk of the Docker engine is full\n",
    ),
    "step, 23": (
        'ERROR: failed to solve: process "/bin/sh -c pip install numpy" did not complete successfully: exit code: 1',
        "starting the containers failed at the step: /bin/sh -c pip install numpy\n",
    ),
    "image of another registry": (
        "Error response from daemon: manifest for example.com/archgw-triton:1 not found: manifest unknown: manifest unknown",
        "starting the containers failed: an image is neither here nor in its registry, or that one wants a login\n",
    ),
    "private image": (
        "ERROR: failed to solve: x: failed to resolve source metadata for docker.io/library/x:1: pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
        "starting the containers failed: an image is neither here nor in its registry, or that one wants a login\n",
    ),
    "too many pulls": (
        "toomanyrequests: You have reached your pull rate limit.",
        "starting the containers failed: the registry allows no more downloads for now\n",
    ),
    "gpu, 23": (
        "Error response from daemon: unknown or invalid runtime name: nvidia",
        "this Docker engine cannot give a container an NVIDIA GPU\n",
    ),
    "gpu without its driver": (
        "Error response from daemon: failed to create task for container: OCI runtime create failed: runc create failed: unable to start container process: error during container init: error running prestart hook #0: exit status 1, stdout: , stderr: nvidia-container-cli: initialization error: load library failed: libnvidia-ml.so.1",
        "this Docker engine cannot give a container an NVIDIA GPU\n",
    ),
    "mount, Docker Desktop": (
        "Error response from daemon: Mounts denied: \nThe path /data/run is not shared from the host and is not known to Docker.\nYou can configure shared paths from Docker -> Preferences... -> Resources -> RenderedFile Sharing.",
        "starting the containers failed: the Docker engine does not see /data/run\n",
    ),
    "no plugin, 20": ("docker: 'compose' is not a docker command.\nSee 'docker --help'", "`docker compose` is missing: "),
    "no plugin, 28": (
        "docker: unknown command: docker compose\n\nRun 'docker --help' for more information",
        "`docker compose` is missing: ",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("docker_output", "explanation"), [pytest.param(*each, id=name) for name, each in (_RECORDED | _REPORTED).items()]
)
def test_explains_dockers_errors_with_the_way_out(docker_output: str, explanation: str) -> None:
    message = str(engine_errors.explain("starting the containers", docker_output, ports=_PORTS, lines=["why"])) + "\n"
    assert message.startswith(explanation)
    assert message.count("\n") <= 24


def test_long_failure_fits_on_a_screen() -> None:
    docker_output = "\n".join(f"line {number} " + "x" * 5000 for number in range(500))
    message = str(engine_errors.explain("building archgw-extproc", docker_output))
    assert "line 499" in message
    assert message.count("\n") <= 24
    assert len(message) < 10_000


def test_container_log_lines_are_printable() -> None:
    docker_output = "dependency failed to start: container archgw-triton-1 exited (1)"
    fault = engine_errors.explain(
        "starting the containers", docker_output, lines=["\x1b[2J\x1b[31mfailed\x1b[0m to load\x07\r\u202e"]
    )
    assert str(fault).endswith("\n  failed to load")


@pytest.mark.parametrize(
    ("docker_output", "accused"),
    [
        (
            "dependency failed to start: container a-triton-1 is unhealthy",
            engine_errors.BlamedContainer(container="a-triton-1"),
        ),
        (
            "dependency failed to start: container a-triton-1 exited (1)",
            engine_errors.BlamedContainer(container="a-triton-1"),
        ),
        ('service "models" didn\'t complete successfully: exit 3', engine_errors.BlamedContainer(service="models")),
        ("Bind for 0.0.0.0:1 failed: port is already allocated", None),
    ],
)
def test_finds_the_blamed_container(docker_output: str, accused: engine_errors.BlamedContainer | None) -> None:
    assert engine_errors.blamed_container(docker_output) == accused


def test_names_a_taken_port_without_a_key() -> None:
    docker_output = "Bind for 127.0.0.1:9 failed: port is already allocated"
    assert str(engine_errors.explain("starting the containers", docker_output, ports=_PORTS)).startswith(
        "port 9 is taken on 127.0.0.1\n"
    )


def test_names_the_memory_limit_as_a_cause_of_exit_code_137() -> None:
    output = "dependency failed to start: container archgw-triton-1 exited (137)"
    assert "killed, perhaps because it wanted more memory" in str(engine_errors.explain("starting", output))


@given(st.text())
def test_explains_any_output(docker_output: str) -> None:
    assert re.match(r"\S", str(engine_errors.explain("starting the containers", docker_output)))

"""Patterns of Docker's error messages, each with an explanation and the way out. Pure. Used by `engine_errors`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controlplane.runtime.docker.engine_requirements import compose_message
from controlplane.runtime.docker.terminal_text import printable

_TOOLKIT: Final = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
# A screen has room for the explanation, this many quoted lines, and the way out.
_QUOTED_LINES: Final = 15
MAX_COLUMNS: Final = 400
_STEP: Final = 120

# Compose's messages about a container: container X is unhealthy; container X exited (1); service "X" didn't complete
# successfully: exit 1.
BLAMED_CONTAINER: Final = re.compile(
    r"container (?P<container>[\w.-]+) (?:is unhealthy|exited \((?P<code>-?\d+)\))"
    r"|service \"(?P<service>[\w.-]+)\" didn't complete successfully: exit (?P<ended>-?\d+)"
)


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed command. `doing`: the action in words. `ports`: published port -> configuration key.

    `lines`: the last log lines of the container that Docker blames.
    """

    doing: str
    output: str
    ports: Mapping[int, str] = field(default_factory=dict)
    lines: Sequence[str] = ()

    @property
    def tail(self) -> str:
        """The last lines of the output, quoted."""
        return quoted(last_lines(self.output, 3))


def last_lines(output: str, count: int = _QUOTED_LINES) -> list[str]:
    """Return the last lines that are not blank."""
    return [line for line in output.splitlines() if line.strip()][-count:]


def quoted(lines: Sequence[str]) -> str:
    """Return the lines indented, printable and cut to one screen."""
    return "".join(f"\n  {printable(line)[:MAX_COLUMNS]}" for line in lines[-_QUOTED_LINES:]) or " nothing"


def _exit_reason(code: int) -> str:
    # 128 plus the number of the signal.
    if code == 137:
        return " (137: it was killed, perhaps because it wanted more memory than its limit)"
    return f" with exit code {code}"


def _log(lines: Sequence[str]) -> str:
    return f"; the last lines of its log:{quoted(lines)}" if lines else "; its log is empty"


def _no_permission(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"you may not use the Docker engine: permission denied on {match['socket']}\n"
        "One of these helps:\n"
        "  sudo usermod -aG docker $USER   (then log in again; members of that group can become root)\n"
        "  Docker without root: https://docs.docker.com/engine/security/rootless/\n"
        "  archgw without containers: --runtime native"
    )


def _no_engine(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"no Docker engine answers{_address(failure.output)}\n"
        "Start it (sudo systemctl start docker, or Docker Desktop), look where your `docker` points (DOCKER_HOST,\n"
        f"docker context ls), or run without containers: --runtime native\nDocker says:{failure.tail}"
    )


def _address(output: str) -> str:
    # Behind ssh, `docker` reports a placeholder host name.
    address = re.search(r"(?:unix|npipe)://[^\s\"]+|(?:tcp|https?)://(?!docker\.example\.com)[^\s\"/]+", output)
    return f" at {printable(address[0]).rstrip('.;,')}" if address else ""


def _no_context(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"there is no Docker context {match['context']}\n"
        "docker context ls shows those that are there; DOCKER_CONTEXT and `docker context use` choose one."
    )


def _port_taken(failure: Failure, match: re.Match[str]) -> str:
    port = int(match["port"])
    key = failure.ports.get(port)
    return (
        f"port {port}{f' ({key})' if key else ''} is taken on {match['host'].strip('[]')}\n"
        f"Change {key or 'the port'}, or stop the process that uses it: "
        f"docker ps --filter publish={port}, sudo ss -ltnp 'sport = :{port}'"
    )


def _port_unnamed(failure: Failure, match: re.Match[str]) -> str:
    keys = f" ({', '.join(f'{port} {key}' for port, key in failure.ports.items())})" if failure.ports else ""
    return (
        f"a port to publish is taken{keys}\n"
        f"Change it, or stop the process that uses it: docker ps, sudo ss -ltnp\nDocker says:{failure.tail}"
    )


def _not_an_address(failure: Failure, match: re.Match[str]) -> str:
    key = failure.ports.get(int(match["port"]))
    return (
        f"cannot listen on {match['host'].strip('[]')}:{match['port']}{f' ({key})' if key else ''}: "
        "the engine's machine has no such address\n0.0.0.0 listens on all of them, 127.0.0.1 for that machine alone."
    )


def _port_forbidden(failure: Failure, match: re.Match[str]) -> str:
    port = int(match["port"])
    key = failure.ports.get(port)
    return (
        f"the engine may not listen on port {port}{f' ({key})' if key else ''}\n"
        f"Change {key or 'it'} to one from 1024 on, or let rootless Docker use it: "
        f"sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"
    )


def _no_nvidia(failure: Failure, match: re.Match[str]) -> str:
    return (
        "this Docker engine cannot give a container an NVIDIA GPU\n"
        f"Install NVIDIA's driver and the container toolkit ({_TOOLKIT}), then:\n"
        "  sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker\n"
        f"or run the models on the CPU: archgw up --local -cpu\nDocker says:{failure.tail}"
    )


def _no_space(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"{failure.doing} failed: the disk of the Docker engine is full\n"
        "docker system df shows what fills it; docker system prune removes stopped containers, unused networks,\n"
        f"dangling images and the build cache\nDocker says:{failure.tail}"
    )


def _step_failed(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"{failure.doing} failed at the step: {printable(match['step'])[:_STEP]}\n"
        "If it could not reach the network: archgw build --network host\n"
        f"Docker says:{quoted(last_lines(failure.output))}"
    )


def _no_registry(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"{failure.doing} failed: an image is not here, and its registry does not answer\n"
        "Look at the engine's network, DNS and proxy (https://docs.docker.com/engine/daemon/proxy/), "
        "build the images where you are (archgw build),\n"
        f"or bring them from another machine (docker save, docker load)\nDocker says:{failure.tail}"
    )


def _no_image(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"{failure.doing} failed: an image is neither here nor in its registry, or that one wants a login\n"
        "Build archgw's with: archgw build. For another's, look at its name and tag, and at: docker login\n"
        f"Docker says:{failure.tail}"
    )


def _too_many_pulls(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"{failure.doing} failed: the registry allows no more downloads for now\n"
        f"docker login raises the limit; or wait\nDocker says:{failure.tail}"
    )


def _container_failed(failure: Failure, match: re.Match[str]) -> str:
    if match["service"]:
        reason = _exit_reason(int(match["ended"]))
        return f"the container of the service {match['service']} ended{reason}{_log(failure.lines)}"
    if match["code"]:
        return f"the container {match['container']} ended{_exit_reason(int(match['code']))}{_log(failure.lines)}"
    return f"the container {match['container']} runs but is not healthy{_log(failure.lines)}"


def _not_shared(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"{failure.doing} failed: the Docker engine does not see {printable(match['path'])[:MAX_COLUMNS]}\n"
        "Docker Desktop: share it in Settings, Resources, File sharing. "
        "An engine on another machine (DOCKER_HOST) sees only its own files:\n"
        "run archgw there. A snap of Docker sees only what is below your home directory."
    )


def _not_mounted(failure: Failure, match: re.Match[str]) -> str:
    return (
        f"{failure.doing} failed: a file could not be mounted into its container\n"
        "An engine on another machine (DOCKER_HOST), in Docker Desktop or from a snap may see other files than you;\n"
        f"another --run-dir, one below your home directory, may help\nDocker says:{failure.tail}"
    )


def _no_plugin(failure: Failure, match: re.Match[str]) -> str:
    return compose_message(None)


_PORT: Final = r"(?P<host>\[[0-9a-f:.]*\]|\d+\.\d+\.\d+\.\d+|::):(?P<port>\d{1,5})"
# The first matching pattern wins. Faults of the engine come before those of an image or a container.
EXPLANATIONS: Final[tuple[tuple[Callable[[Failure, re.Match[str]], str], tuple[str, ...]], ...]] = (
    (
        _no_permission,
        (
            r"permission denied while trying to connect to the docker [\w ]+ at (?P<socket>\S+?)(?=[:;]?\s|$)",
            r"dial unix (?P<socket>\S+): connect: permission denied",
        ),
    ),
    (_no_context, (r"context \"(?P<context>[\w.+-]+)\"(?: does not exist|: context not found)",)),
    (
        _no_engine,
        (
            r"cannot connect to the docker daemon",
            r"failed to connect to the docker API",
            r"error during connect",
            r"unable to parse docker host",
            r"unable to resolve docker endpoint",
        ),
    ),
    (_no_plugin, (r"'compose' is not a docker command", r"unknown command: docker compose", r"unknown shorthand flag")),
    (
        _port_taken,
        (
            rf"bind for {_PORT} failed: port is already allocated",
            rf"{_PORT}[^\n]*?: (?:bind: )?address already in use",
        ),
    ),
    (
        _port_unnamed,
        (r"port is already allocated", r"address already in use", r"EADDRINUSE", r"ports are not available"),
    ),
    (_not_an_address, (rf"{_PORT}[^\n]*?: (?:bind: )?cannot assign requested address",)),
    (
        _port_forbidden,
        (r"cannot expose privileged port (?P<port>\d+)", rf"listen \w+ {_PORT}: bind: permission denied"),
    ),
    (
        _no_nvidia,
        (
            r"could not select device driver",
            r"unknown (?:or invalid )?runtime (?:name:|specified) \"?nvidia",
            r"nvidia-container-(?:cli|runtime)",
            r"unresolvable CDI devices|failed to discover GPU",
        ),
    ),
    (_no_space, (r"no space left on device", r"disk quota exceeded")),
    (
        _step_failed,
        (
            r"process \"(?P<step>.+)\" did not complete successfully: exit code: \d+",
            r"executor failed running \[(?P<step>.+)\]: exit code: \d+",
            r"the command '(?P<step>.+)' returned a non-zero code: \d+",
        ),
    ),
    (_too_many_pulls, (r"toomanyrequests", r"pull rate limit")),
    (
        _no_image,
        (
            r"pull access denied|requested access to the resource is denied|insufficient_scope",
            r"manifest unknown|manifest for \S+ not found|no matching manifest",
            r"no such image|repository \S+ not found",
            r"failed to resolve (?:source metadata for|reference) [^\n]*: not found",
            r"authentication required|no basic auth credentials|unauthorized: |401 unauthorized",
        ),
    ),
    (
        _no_registry,
        (
            r"no such host|server misbehaving|temporary failure in name resolution",
            r"dial tcp [^\n]*(?:i/o timeout|connection refused|unreachable)",
            r"TLS handshake timeout|request canceled while waiting for connection|Client\.Timeout exceeded",
            r"x509: |proxyconnect tcp",
        ),
    ),
    (_container_failed, (BLAMED_CONTAINER.pattern,)),
    (
        _not_shared,
        (
            r"the path (?P<path>[^\n]+?) is not shared from the host",
            r"bind source path does not exist: (?P<path>[^\n]+)",
        ),
    ),
    (_not_mounted, (r"mounts denied", r"error mounting", r"error while creating mount source path")),
)

"""What Docker says when something fails, told as what happened and the way out. Pure: words in, a RuntimeFault out.

The first line of each says the whole; `engine` knows which words came from where.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from controlplane.errors import RuntimeFault

ENGINE_AT_LEAST: Final = (20, 10)
COMPOSE_AT_LEAST: Final = (2, 20)

_INSTALL: Final = "https://docs.docker.com/engine/install/"
_TOOLKIT: Final = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/install-guide.html"
# A screen holds the sentence, these, and the way out.
_LINES: Final = 15
_COLUMNS: Final = 400
_STEP: Final = 120
# Of a line that is searched; some patterns take its length squared.
_LONGEST: Final = 2_000

# Sequences that colour, move or retitle a terminal (ECMA-48: CSI, then OSC and its like, then the two-byte ones).
_ESCAPES: Final = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\|$)|\x1b[ -/]*[0-~]?")


def plain(text: str) -> str:
    """One line of a program that we do not trust, fit for a terminal: it moves, colours and hides nothing."""
    return "".join(each for each in _ESCAPES.sub("", text).replace("\t", "    ") if each.isprintable())


def no_cli() -> RuntimeFault:
    """There is no `docker` on PATH."""
    return RuntimeFault(
        f"there is no `docker` on PATH\nInstall Docker: {_INSTALL}\nor run without containers: --runtime native"
    )


def silent(doing: str, seconds: float) -> RuntimeFault:
    """The command was given up after `seconds`."""
    return RuntimeFault(
        f"Docker did not answer within {seconds:g} s: {doing}\n"
        "The engine hangs, is busy, or is far away. Look at: docker info, journalctl -u docker"
    )


def not_docker(doing: str) -> RuntimeFault:
    """The program called docker answers something else."""
    return RuntimeFault(
        f"`docker` on PATH does not answer as Docker does: {doing}\n"
        f"Another program, like Podman's, may go by that name. Install Docker: {_INSTALL}"
    )


def engine_too_old(version: str) -> RuntimeFault:
    """The engine answers, but is of another time."""
    return RuntimeFault(
        f"the Docker engine is {version}, and archgw needs {_dotted(ENGINE_AT_LEAST)} or newer\n"
        f"Update it ({_INSTALL}), or run without containers: --runtime native"
    )


def not_linux(system: str) -> RuntimeFault:
    """The engine runs containers of another system."""
    return RuntimeFault(
        f"the Docker engine runs containers of {system}, and archgw's are of Linux\n"
        'Docker Desktop changes over with "Switch to Linux containers".'
    )


def no_compose(version: str | None) -> RuntimeFault:
    """`docker compose` is not there (None), or too old."""
    needed = f"archgw needs the Compose plugin {_dotted(COMPOSE_AT_LEAST)} or newer"
    found = "`docker compose` is missing" if version is None else f"`docker compose` is {version}"
    return RuntimeFault(
        f"{found}: {needed} (`docker-compose` with a hyphen is another program)\n"
        "Install it: apt-get install docker-compose-plugin (Docker's packages), docker-compose-v2 (Ubuntu's),\n"
        "or https://docs.docker.com/compose/install/linux/"
    )


def is_at_least(version: str, least: tuple[int, ...]) -> bool:
    """Whether a version as Docker writes them (`v2.20.2`, `20.10.24+dfsg1`) is new enough. False for what is none."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    return numbers is not None and tuple(map(int, numbers.groups())) >= least


@dataclass(frozen=True, slots=True)
class Guilty:
    """A container that Docker's words accuse: by its `container` name, or by its `service` of a compose project."""

    container: str | None = None
    service: str | None = None


# What Compose says: container X is unhealthy, container X exited (1), service "X" didn't complete successfully: exit 1.
_ACCUSED: Final = re.compile(
    r"container (?P<container>[\w.-]+) (?:is unhealthy|exited \((?P<code>-?\d+)\))"
    r"|service \"(?P<service>[\w.-]+)\" didn't complete successfully: exit (?P<ended>-?\d+)"
)


def accused(said: str) -> Guilty | None:
    """The container whose last lines tell why Docker failed; None where Docker names none."""
    found = _ACCUSED.search(said)
    return None if found is None else Guilty(found["container"], found["service"])


@dataclass(frozen=True, slots=True)
class _Words:
    doing: str
    said: str
    ports: Mapping[int, str] = field(default_factory=dict)
    lines: Sequence[str] = ()


def explain(
    doing: str, said: str, *, ports: Mapping[int, str] | None = None, lines: Sequence[str] = ()
) -> RuntimeFault:
    """The fault behind what Docker `said` while `doing` ("starting the containers").

    `ports`: the configuration key of each published port. `lines`: the last lines of the container that is `accused`.
    """
    said = "\n".join(line[:_LONGEST] for line in said.splitlines())
    words = _Words(doing, said, ports or {}, lines)
    for tell, patterns in _FAULTS:
        for pattern in patterns:
            if found := re.search(pattern, said, re.IGNORECASE):
                return RuntimeFault(tell(words, found))
    return RuntimeFault(f"{doing} failed, and Docker says:{_quoted(_last(said))}")


def exited(container: str, code: int, lines: Sequence[str]) -> RuntimeFault:
    """A container that ended though it should run; `lines`: its last ones."""
    return RuntimeFault(f"the container {container} ended{_reason(code)}{_log(lines)}")


def unhealthy(container: str, check: str, lines: Sequence[str]) -> RuntimeFault:
    """A container that runs and does not answer its health check, whose last words are `check`."""
    words = f" ({plain(check)[:_COLUMNS]})" if check else ""
    return RuntimeFault(f"the container {container} runs but is not healthy{words}{_log(lines)}")


# --- what Docker says, and what it means -----------------------------------------------------------------------------


def _no_permission(words: _Words, found: re.Match[str]) -> str:
    return (
        f"you may not talk to the Docker engine: permission denied on {found['socket']}\n"
        "One of these helps:\n"
        "  sudo usermod -aG docker $USER   (then log in anew; who is in that group can become root)\n"
        "  Docker without root: https://docs.docker.com/engine/security/rootless/\n"
        "  archgw without containers: --runtime native"
    )


def _no_engine(words: _Words, found: re.Match[str]) -> str:
    return (
        f"no Docker engine answers{_where(words.said)}\n"
        "Start it (sudo systemctl start docker, or Docker Desktop), look where your `docker` points (DOCKER_HOST,\n"
        f"docker context ls), or run without containers: --runtime native\nDocker says:{_quoted(_last(words.said, 3))}"
    )


def _where(said: str) -> str:
    # Behind ssh, the command line speaks HTTP to a name that means nothing.
    address = re.search(r"(?:unix|npipe)://[^\s\"]+|(?:tcp|https?)://(?!docker\.example\.com)[^\s\"/]+", said)
    return f" at {plain(address[0]).rstrip('.;,')}" if address else ""


def _no_context(words: _Words, found: re.Match[str]) -> str:
    return (
        f"there is no Docker context {found['context']}\n"
        "docker context ls shows those that are there; DOCKER_CONTEXT and `docker context use` choose one."
    )


def _port_taken(words: _Words, found: re.Match[str]) -> str:
    port = int(found["port"])
    key = words.ports.get(port)
    return (
        f"port {port}{f' ({key})' if key else ''} is taken on {found['host'].strip('[]')}\n"
        f"Change {key or 'the port'}, or stop who has it: "
        f"docker ps --filter publish={port}, sudo ss -ltnp 'sport = :{port}'"
    )


def _port_unnamed(words: _Words, found: re.Match[str]) -> str:
    keys = f" ({', '.join(f'{port} {key}' for port, key in words.ports.items())})" if words.ports else ""
    return (
        f"a port to publish is taken{keys}\n"
        f"Change it, or stop who has it: docker ps, sudo ss -ltnp\nDocker says:{_quoted(_last(words.said, 3))}"
    )


def _not_an_address(words: _Words, found: re.Match[str]) -> str:
    key = words.ports.get(int(found["port"]))
    return (
        f"cannot listen on {found['host'].strip('[]')}:{found['port']}{f' ({key})' if key else ''}: "
        "the engine's machine has no such address\n0.0.0.0 listens on all of them, 127.0.0.1 for that machine alone."
    )


def _port_forbidden(words: _Words, found: re.Match[str]) -> str:
    port = int(found["port"])
    key = words.ports.get(port)
    return (
        f"the engine may not listen on port {port}{f' ({key})' if key else ''}\n"
        f"Change {key or 'it'} to one from 1024 on, or let rootless Docker take it: "
        f"sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"
    )


def _no_nvidia(words: _Words, found: re.Match[str]) -> str:
    return (
        "this Docker engine cannot give a container an NVIDIA GPU\n"
        f"Install NVIDIA's driver and the container toolkit ({_TOOLKIT}), then:\n"
        "  sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker\n"
        f"or run the models on the CPU: archgw up --local -cpu\nDocker says:{_quoted(_last(words.said, 3))}"
    )


def _no_space(words: _Words, found: re.Match[str]) -> str:
    return (
        f"{words.doing} failed: the disk of the Docker engine is full\n"
        "docker system df shows what fills it; docker system prune removes stopped containers, unused networks,\n"
        f"dangling images and the build cache\nDocker says:{_quoted(_last(words.said, 3))}"
    )


def _step_failed(words: _Words, found: re.Match[str]) -> str:
    return (
        f"{words.doing} failed at the step: {plain(found['step'])[:_STEP]}\n"
        "Where it reached no network: archgw build --network host\n"
        f"Docker says:{_quoted(_last(words.said))}"
    )


def _no_registry(words: _Words, found: re.Match[str]) -> str:
    return (
        f"{words.doing} failed: an image is not here, and its registry does not answer\n"
        "Look at the engine's network, DNS and proxy (https://docs.docker.com/engine/daemon/proxy/), "
        "build the images where you are (archgw build),\n"
        f"or bring them from another machine (docker save, docker load)\nDocker says:{_quoted(_last(words.said, 3))}"
    )


def _no_image(words: _Words, found: re.Match[str]) -> str:
    return (
        f"{words.doing} failed: an image is neither here nor in its registry, or that one wants a login\n"
        "Build archgw's with: archgw build. For another's, look at its name and tag, and at: docker login\n"
        f"Docker says:{_quoted(_last(words.said, 3))}"
    )


def _too_many_pulls(words: _Words, found: re.Match[str]) -> str:
    return (
        f"{words.doing} failed: the registry allows no more downloads for now\n"
        f"docker login raises the limit; or wait\nDocker says:{_quoted(_last(words.said, 3))}"
    )


def _accused(words: _Words, found: re.Match[str]) -> str:
    if found["service"]:
        return f"the container of the service {found['service']} ended{_reason(int(found['ended']))}{_log(words.lines)}"
    if found["code"]:
        return f"the container {found['container']} ended{_reason(int(found['code']))}{_log(words.lines)}"
    return f"the container {found['container']} runs but is not healthy{_log(words.lines)}"


def _not_shared(words: _Words, found: re.Match[str]) -> str:
    return (
        f"{words.doing} failed: the Docker engine does not see {plain(found['path'])[:_COLUMNS]}\n"
        "Docker Desktop: share it in Settings, Resources, File sharing. "
        "An engine on another machine (DOCKER_HOST) sees only its own files:\n"
        "run archgw there. A snap of Docker sees only what is below your home directory."
    )


def _not_mounted(words: _Words, found: re.Match[str]) -> str:
    return (
        f"{words.doing} failed: a file could not be mounted into its container\n"
        "An engine on another machine (DOCKER_HOST), in Docker Desktop or from a snap may see other files than you;\n"
        f"another --run-dir, one below your home directory, may help\nDocker says:{_quoted(_last(words.said, 3))}"
    )


def _no_plugin(words: _Words, found: re.Match[str]) -> str:
    return str(no_compose(None))


_PORT: Final = r"(?P<host>\[[0-9a-f:.]*\]|\d+\.\d+\.\d+\.\d+|::):(?P<port>\d{1,5})"
# In order: the first that is found tells. What the engine lacks comes before what one image or container does.
_FAULTS: Final[tuple[tuple[Callable[[_Words, re.Match[str]], str], tuple[str, ...]], ...]] = (
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
    (_accused, (_ACCUSED.pattern,)),
    (
        _not_shared,
        (
            r"the path (?P<path>[^\n]+?) is not shared from the host",
            r"bind source path does not exist: (?P<path>[^\n]+)",
        ),
    ),
    (_not_mounted, (r"mounts denied", r"error mounting", r"error while creating mount source path")),
)


def _reason(code: int) -> str:
    # What a shell and Docker make of a signal is 128 and its number.
    if code == 137:
        return " (137: it was killed, perhaps because it wanted more memory than its limit)"
    return f" with exit code {code}"


def _last(said: str, count: int = _LINES) -> list[str]:
    """The last lines that say something."""
    return [line for line in said.splitlines() if line.strip()][-count:]


def _quoted(lines: Sequence[str]) -> str:
    return "".join(f"\n  {plain(line)[:_COLUMNS]}" for line in lines[-_LINES:]) or " nothing"


def _log(lines: Sequence[str]) -> str:
    return f"; the last lines of its log:{_quoted(lines)}" if lines else "; its log is empty"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))

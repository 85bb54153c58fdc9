"""The Docker engine: queries and actions on images, containers and Compose projects. Used by all of this package."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from controlplane.errors import RuntimeFault
from controlplane.runtime.docker import engine_errors, engine_requirements
from controlplane.runtime.docker.docker_command import (
    MAX_LINE,
    MAX_STDERR_BYTES,
    MAX_STDOUT_BYTES,
    QUERY_S,
    DockerCommand,
    end_of_file,
)
from controlplane.runtime.docker.engine_objects import (
    Container,
    EngineInfo,
    LocalImage,
    decode_containers,
    decode_image,
    decode_info,
)
from controlplane.runtime.docker.terminal_text import printable

PROJECT_LABEL: Final = "com.docker.compose.project"

# Enough of a log to see why its container ended, and not more than a screen.
_FAULT_LINES: Final = 15
# Lines of both streams to read for one line of a single stream.
_BOTH_STREAMS_FACTOR: Final = 20


@dataclass(frozen=True, slots=True)
class Engine(DockerCommand):
    """The engine that `docker` talks to. Every method may raise RuntimeFault."""

    def info(self) -> EngineInfo:
        """Return the engine's description. RuntimeFault with the reason if none answers."""
        version = self.run("version", "--format", "{{json .}}", timeout_s=QUERY_S)
        return decode_info(version, self.run("info", "--format", "{{json .}}", timeout_s=QUERY_S))

    def compose_version(self) -> str | None:
        """Return the version of the Compose plugin; None if there is none."""
        code, stdout, _ = self.capture("compose", "version", "--short", timeout_s=QUERY_S)
        return stdout.strip() if code == 0 else None

    def check(self) -> EngineInfo:
        """Raise RuntimeFault unless the engine and its Compose plugin exist and are new enough."""
        info = self.info()
        engine_requirements.check_engine(info.version, info.system)
        engine_requirements.check_compose(self.compose_version())
        return info

    def fault(
        self, doing: str, output: str, *, project: str | None = None, ports: Mapping[int, str] | None = None
    ) -> RuntimeFault:
        """Return a fault that explains a failed command's output, with the blamed container's log. Never raises.

        `ports`: published port -> configuration key.
        """
        blamed = engine_errors.blamed_container(output)
        name = None if blamed is None else blamed.container
        lines: list[str] = []
        # If the engine fails meanwhile, the first fault is still the one to report.
        with contextlib.suppress(RuntimeFault):
            if blamed is not None and blamed.service is not None and project is not None:
                name = next((each.id for each in self.containers(project) if each.service == blamed.service), None)
            if name is not None:
                lines = self.logs(name, _FAULT_LINES)
        return engine_errors.explain(doing, output, ports=ports, lines=lines)

    # --- images

    def image(self, ref: str) -> LocalImage | None:
        """Return the engine's image with this name or id; None if it has none. Pulls nothing."""
        code, stdout, stderr = self.capture("image", "inspect", "--format", "{{json .}}", ref, timeout_s=QUERY_S)
        if code != 0:
            if "no such image" in stderr.lower():
                return None
            raise engine_errors.explain(f"looking for the image {ref}", stderr)
        return decode_image(stdout)

    def has_image(self, ref: str) -> bool:
        return self.image(ref) is not None

    def image_labels(self, ref: str) -> Mapping[str, str] | None:
        """Return the labels of an image; None if the engine does not have it."""
        image = self.image(ref)
        return None if image is None else image.labels

    def pull(self, ref: str, say: Callable[[str], None]) -> None:
        """Pull an image. `say` gets each line of progress."""
        self.stream("pull", ref, on_line=say, doing=f"fetching the image {ref}")

    def can_pull(self, ref: str, timeout_s: float = 5.0) -> bool:
        """Return True if the registry confirms within `timeout_s` that it has the image. Never raises."""
        with contextlib.suppress(RuntimeFault):
            return self.capture("manifest", "inspect", ref, timeout_s=timeout_s)[0] == 0
        return False

    # --- Compose projects

    def containers(self, project: str) -> tuple[Container, ...]:
        """Return all containers of a project, running or not, ordered by service and name."""
        ids = self.run(
            "ps", "-aq", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}", timeout_s=QUERY_S
        ).split()
        if not ids:
            return ()
        code, stdout, stderr = self.capture(
            "inspect", "--type", "container", "--format", "{{json .}}", *ids, timeout_s=QUERY_S
        )
        # A container may have been removed meanwhile.
        if code != 0 and "no such" not in stderr.lower():
            raise engine_errors.explain("asking for the containers", stderr)
        return decode_containers(stdout)

    def networks(self, project: str) -> tuple[str, ...]:
        """Return the names of a project's networks."""
        return self._names("network", project)

    def volumes(self, project: str) -> tuple[str, ...]:
        """Return the names of a project's volumes."""
        return self._names("volume", project)

    def _names(self, kind: str, project: str) -> tuple[str, ...]:
        label = f"label={PROJECT_LABEL}={project}"
        names = self.run(kind, "ls", "--filter", label, "--format", "{{.Name}}", timeout_s=QUERY_S)
        return tuple(sorted(names.split()))

    # --- one container

    def logs(self, container: str, lines: int, *, stdout: bool = True, stderr: bool = True) -> list[str]:
        """Return the last `lines` of both streams, in the engine's order, or of one stream."""
        if lines <= 0:
            return []
        if stdout and stderr:
            return self._log(container, str(lines), both=True)[-lines:]
        found: list[str] = []
        # `--tail` counts lines of both streams, and most of them may belong to the other one.
        for tail in (str(_BOTH_STREAMS_FACTOR * lines), "all"):
            found = self._log(container, tail, stdout=stdout)[-lines:]
            if len(found) == lines:
                break
        return found

    def _log(self, container: str, tail: str, *, stdout: bool = True, both: bool = False) -> list[str]:
        args = ("logs", "--tail", tail, container)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = self.spawn(args, stdout=out if stdout else subprocess.DEVNULL, stderr=out if both else err)
            if self.finish(process, args, QUERY_S) != 0:
                output = end_of_file(out if both else err, MAX_STDERR_BYTES)
                raise engine_errors.explain(f"reading the log of {container}", output)
            text = end_of_file(out if stdout else err, MAX_STDOUT_BYTES)
        return [printable(line[:MAX_LINE]) for line in text.removesuffix("\n").split("\n")] if text else []

    def ports(self, container: str) -> frozenset[int]:
        """Return the ports of the engine's machine that are published for a container."""
        mappings = self.run("port", container, timeout_s=QUERY_S, doing=f"asking for the ports of {container}")
        # 10000/tcp -> 0.0.0.0:10000, and for IPv6 10000/tcp -> [::]:10000 or :::10000
        return frozenset(int(line.rpartition(":")[2]) for line in mappings.splitlines() if " -> " in line)

    def exec(self, container: str, *argv: str, timeout_s: float = QUERY_S) -> tuple[int, str]:
        """Run a program in a container; return exit status and standard output. RuntimeFault if it cannot start."""
        code, stdout, stderr = self.capture("exec", container, *argv, timeout_s=timeout_s)
        if code != 0 and stderr.startswith(("Error response from daemon", "Error: No such", "OCI runtime exec failed")):
            raise engine_errors.explain(f"running {argv[0]} in {container}", stderr)
        return code, stdout


def unavailable_reason(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return the reason, in one line, why Docker cannot be used here; None if it can. Never raises."""
    try:
        Engine.find(environ).check()
    except RuntimeFault as fault:
        return str(fault).partition("\n")[0]
    return None

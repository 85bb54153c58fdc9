"""Every way in which the control plane fails.

ArchgwError            exit 1: something could not be done
├── ConfigError        exit 2: arch_config.yaml is wrong; carries every problem at once
├── UsageError         exit 2: the command line asks for what cannot be
├── SourceError        a source to generate prompt targets from cannot be used; carries its problems with their places
├── RenderError        the rendered files are not what Envoy accepts: a bug of ours, or an Envoy of another version
├── ModelError         a model could not be fetched, verified or converted
└── RuntimeFault       a process did not start, stop or answer
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class ArchgwError(Exception):
    """A failure whose message is written for the person at the terminal: what, where, and the way out."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a configuration file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        hint = f"\n    {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class ConfigError(ArchgwError):
    """arch_config.yaml is wrong. `problems` holds every fault found, in file order."""

    exit_code = 2

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class SourceError(ArchgwError):
    """A Python source or an OpenAPI document cannot be used. `problems` say where and why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class UsageError(ArchgwError):
    """The command line asks for what cannot be."""

    exit_code = 2


class RenderError(ArchgwError):
    """The rendered files are not what Envoy accepts."""


class ModelError(ArchgwError):
    """A model could not be fetched, verified or converted."""


class RuntimeFault(ArchgwError):
    """A process did not start, stop or answer. The message ends with the guilty part's last lines, if any."""

"""The control plane's errors.

ArchgwError            exit 1: a command failed
├── ConfigError        exit 2: arch_config.yaml is wrong; carries every problem at once
├── UsageError         exit 2: the options of the command line contradict each other, or the configuration
├── SourceError        prompt targets cannot be generated from this source; carries its problems with their positions
├── RenderError        Envoy refuses the rendered files: a bug of ours, or an Envoy of another version
├── ModelError         a model could not be fetched, verified or converted
└── RuntimeFault       a process did not start, stop or answer
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


class ArchgwError(Exception):
    """A failure. Its message tells the person at the terminal what failed, where, and the way out."""

    exit_code: ClassVar[int] = 1


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem in a file. `line` and `column` count from 1."""

    file: str
    line: int
    column: int
    message: str
    hint: str | None = None

    def __str__(self) -> str:
        hint = f"\n    {self.hint}" if self.hint else ""
        return f"{self.file}:{self.line}:{self.column}: {self.message}{hint}"


class ConfigError(ArchgwError):
    """arch_config.yaml is wrong. `problems` holds all problems, in file order."""

    exit_code = 2

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class SourceError(ArchgwError):
    """A Python source or an OpenAPI document cannot be used. `problems` holds positions and reasons."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class UsageError(ArchgwError):
    """The options of the command line contradict each other, or the configuration."""

    exit_code = 2


class RenderError(ArchgwError):
    """Envoy refuses the rendered files."""


class ModelError(ArchgwError):
    """A model could not be fetched, verified or converted."""


class RuntimeFault(ArchgwError):
    """A process did not start, stop or answer. The message ends with the last log lines of that process, if any."""

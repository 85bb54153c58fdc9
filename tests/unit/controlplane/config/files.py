"""Small configuration files for the tests of this folder."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from controlplane.config.load import LoadedConfig, load
from controlplane.errors import ConfigError

# Valid, and short: tests put their own lines before or behind it.
PROVIDER = """\
llm_providers:
  - {name: local, provider: triton, model: chat, default: true}
"""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder with one `arch_config.yaml`, loaded in an environment of the test's own."""

    path: Path

    @property
    def file(self) -> Path:
        return self.path / "arch_config.yaml"

    def write(self, text: str) -> None:
        self.file.write_text(textwrap.dedent(text), encoding="utf-8")

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> LoadedConfig:
        self.write(text)
        return load(self.file, environ or {})

    def problems(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """Each problem as `line:column: message`, in the order reported."""
        self.write(text)
        return self.problems_as_written(environ)

    def problems_as_written(self, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(self.file, environ or {})
        assert all(problem.file == str(self.file) for problem in caught.value.problems)
        return [f"{problem.line}:{problem.column}: {problem.message}" for problem in caught.value.problems]

    def hints(self, text: str, environ: Mapping[str, str] | None = None) -> list[str | None]:
        self.write(text)
        with pytest.raises(ConfigError) as caught:
            load(self.file, environ or {})
        return [problem.hint for problem in caught.value.problems]

    def warnings(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        """Each warning as `line:column: message`."""
        loaded = self.load(text, environ)
        return [f"{warning.line}:{warning.column}: {warning.message}" for warning in loaded.warnings]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)

"""Source files for the tests of this folder, and the configurations generated from them."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from controlplane.config.load import load
from controlplane.config.yaml_parser import parse
from controlplane.config.yaml_tree import plain
from controlplane.errors import SourceError
from controlplane.generate.generate import Generated, GenerateOptions, generate

FOLDER = Path(__file__).parent / "sources"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder of source files. Checks that each generated configuration is valid."""

    path: Path

    def write(self, text: str, name: str = "api.py") -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def generate(self, text: str, options: GenerateOptions | None = None, name: str = "api.py") -> Generated:
        path = self.write(text, name)
        made = generate(str(path), options or GenerateOptions(), is_openapi=path.suffix != ".py")
        self.validate(made)
        return made

    def validate(self, made: Generated) -> Any:
        return self.validate_text(made.text)

    def validate_text(self, text: str) -> Any:
        """Validates the text as `archgw validate` does and returns it as plain data."""
        file = self.path / "arch_config.yaml"
        file.write_text(text, encoding="utf-8")
        load(file, {})
        root, findings = parse(file.read_bytes())
        assert root is not None
        assert not findings
        return plain(root)

    def config(self, text: str, options: GenerateOptions | None = None, name: str = "api.py") -> Any:
        return self.validate(self.generate(text, options, name))

    def targets(self, text: str, options: GenerateOptions | None = None, name: str = "api.py") -> dict[str, Any]:
        return {target["name"]: target for target in self.config(text, options, name)["prompt_targets"]}

    def parameters(self, text: str, name: str = "api.py") -> dict[str, dict[str, Any]]:
        """Returns the parameters of the only target, by name."""
        (target,) = self.targets(text, name=name).values()
        found = {}
        for parameter in target.get("parameters", ()):
            found[parameter.pop("name")] = parameter
        return found

    def notes(self, text: str, name: str = "api.py") -> list[str]:
        """Returns the notes, without the folder in their paths."""
        return [str(note).replace(f"{self.path}/", "") for note in self.generate(text, name=name).notes]

    def refusal(self, text: str, name: str = "api.py") -> str:
        try:
            self.generate(text, name=name)
        except SourceError as error:
            return str(error).replace(f"{self.path}/", "")
        raise AssertionError("accepted")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)

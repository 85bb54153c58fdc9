"""Loads a file into an `ArchConfig`, or reports all its problems at once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Final

from dotenv import dotenv_values
from pydantic import ValidationError

from controlplane.config import (
    checks,
    env_references,
    file_paths,
    local_models,
    shorthand,
    tls_files,
    unsupported_keys,
    v01_migration,
)
from controlplane.config.arch_config import ArchConfig
from controlplane.config.validation_errors import explain, salvage
from controlplane.config.yaml_parser import MAX_BYTES, decode, is_unicode, parse
from controlplane.config.yaml_tree import Finding, Mark, plain
from controlplane.errors import ConfigError, Problem
from controlplane.models.custom_model import CustomModel

DEFAULT_PATH: Final = Path("arch_config.yaml")


@dataclass(frozen=True, slots=True)
class LoadedConfig:
    """A valid configuration, the user's custom models that it names, and warnings for its author."""

    config: ArchConfig
    custom_models: tuple[CustomModel, ...]
    warnings: tuple[Problem, ...]


def load(path: Path, environ: Mapping[str, str]) -> LoadedConfig:
    """Reads and checks `path`. `$NAME` comes from `environ`, else from `.env` beside the file.

    Raises ConfigError with all problems of the file, in file order.
    """
    if not is_unicode(str(path.absolute())):
        raise _error(path, (Finding(Mark(1, 1), "the path of this file is not UTF-8", "rename it, or its folder"),))
    root, findings = parse(_read(path))
    if root is None:
        raise _error(path, findings)
    faults = list(findings)
    root, new_faults, warnings = v01_migration.migrate(root)
    faults += new_faults
    root, new_faults = unsupported_keys.remove(root)
    faults += new_faults
    root = shorthand.expand(root)
    warnings += env_references.plain_text_keys(root)
    root, new_faults = env_references.resolve(root, _environment(path, environ))
    faults += new_faults
    root = file_paths.make_absolute(root, path.parent)
    custom: tuple[CustomModel, ...] = ()
    try:
        config = ArchConfig.model_validate_json(json.dumps(plain(root)))
        checked = checks.check(config, root, root)
        faults += checked.faults
        warnings += checked.warnings
        custom, new_faults = local_models.resolve(config.model_serving, root, path.parent)
        faults += [*new_faults, *tls_files.check(config.model_serving.remote, root)]
    except ValidationError as error:
        faults += explain(error, root)
        rest = salvage(error, root)
        if rest is not None:
            faults += checks.check(rest.config, rest.root, root).faults
            faults += local_models.resolve(rest.config.model_serving, rest.root, path.parent)[1]
            faults += tls_files.check(rest.config.model_serving.remote, rest.root)
    if faults:
        # `from None`: the validation error could print its input, such as a key.
        raise _error(path, tuple(faults)) from None
    return LoadedConfig(config, custom, tuple(_problem(path, warning) for warning in sorted(set(warnings), key=_order)))


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        hint = "name the file: archgw COMMAND FILE, or see a complete one with: archgw up --quick-start --local -cpu"
        raise _error(path, (Finding(Mark(1, 1), "there is no such file", hint),)) from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise _error(path, (Finding(Mark(1, 1), f"the file cannot be read: {reason}"),)) from None


def _environment(path: Path, environ: Mapping[str, str]) -> env_references.Environment:
    dotenv_path = path.parent / ".env"
    values: Mapping[str, str | None] = {}
    if dotenv_path.is_file():
        text, finding = decode(_read(dotenv_path))
        if finding is not None:
            raise _error(dotenv_path, (finding,))
        # Without interpolation: a `$` in a key is part of the key.
        values = dotenv_values(stream=StringIO(text), interpolate=False)
    return env_references.Environment(environ, values, str(dotenv_path))


def _error(path: Path, findings: tuple[Finding, ...]) -> ConfigError:
    return ConfigError(tuple(_problem(path, finding) for finding in sorted(set(findings), key=_order)))


def _order(finding: Finding) -> tuple[Mark, str]:
    return finding.mark, finding.message


def _problem(path: Path, finding: Finding) -> Problem:
    # A file name need not be UTF-8.
    shown = bytes(path).decode(errors="backslashreplace")
    return Problem(shown, finding.mark.line, finding.mark.column, finding.message, finding.hint)

"""Generates a configuration from an API's source: reader, prompt targets, rendering. Used by the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from controlplane.config.addresses import Url
from controlplane.errors import Problem, SourceError
from controlplane.generate import config_yaml
from controlplane.generate.naming import config_name
from controlplane.generate.openapi import openapi_reader as openapi
from controlplane.generate.openapi.document_loader import is_url
from controlplane.generate.operations import Note
from controlplane.generate.prompt_targets import targets
from controlplane.generate.python import python_reader as python


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """Options that override the source: the API's address, its name in `endpoints`, and the prefix of its paths."""

    endpoint: Url | None = None
    endpoint_name: str | None = None
    path_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Generated:
    """The text of an arch_config.yaml, the number of its targets, and the notes for its author."""

    text: str
    count: int
    notes: tuple[Note, ...]


def generate(source: str, options: GenerateOptions, *, is_openapi: bool) -> Generated:
    """Generates from a Python file, or from an OpenAPI document at a path or URL. Raises `SourceError`."""
    prefix = (options.endpoint.path if options.endpoint else "") + options.path_prefix
    description = openapi.read(source, prefix) if is_openapi else python.read(Path(source), prefix)
    name = options.endpoint_name or config_name(description.title or _stem(source)).lower()
    made, target_notes = targets(description.operations, name)
    notes = tuple(dict.fromkeys((*description.notes, *target_notes)))
    if not made:
        lines = "\n    ".join(map(str, notes))
        raise SourceError((Problem(source, 1, 1, "no route of this source can be a prompt target", lines or None),))
    endpoint = config_yaml.Endpoint(name, options.endpoint or description.server)
    if endpoint.address is None:
        notes += (
            Note(source, "endpoints", "the address is a placeholder; --endpoint HOST:PORT says where the API answers"),
        )
    return Generated(config_yaml.render(made, endpoint, source), len(made), notes)


def _stem(source: str) -> str:
    path = urlsplit(source).hostname or "api" if is_url(source) else PurePosixPath(source).stem
    return path if path not in {"main", "app", "__init__", "openapi", "routes", "server"} else "api"

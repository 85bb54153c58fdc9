"""A source into a configuration: `generate` strings reader, targets and text together."""

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
class Wishes:
    """What the command line says over the source: where the API answers, its name, and what its paths begin with."""

    endpoint: Url | None = None
    endpoint_name: str | None = None
    path_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Generated:
    """The text of an arch_config.yaml, and what its author should know."""

    text: str
    count: int
    notes: tuple[Note, ...]


def generate(source: str, wishes: Wishes, *, is_openapi: bool) -> Generated:
    """Prompt targets from a Python file, or from an OpenAPI document at a path or URL. Raises `SourceError`."""
    prefix = (wishes.endpoint.path if wishes.endpoint else "") + wishes.path_prefix
    reading = openapi.read(source, prefix) if is_openapi else python.read(Path(source), prefix)
    name = wishes.endpoint_name or config_name(reading.title or _stem(source)).lower()
    made, notes = targets(reading.operations, name)
    # In the order of the reading: what the reader left out first, then what became of the rest.
    said = tuple(dict.fromkeys((*reading.notes, *notes)))
    if not made:
        lines = "\n    ".join(map(str, said))
        raise SourceError((Problem(source, 1, 1, "no route of this source can be a prompt target", lines or None),))
    endpoint = config_yaml.Endpoint(name, wishes.endpoint or reading.server)
    if endpoint.address is None:
        said += (
            Note(source, "endpoints", "the address is a placeholder; --endpoint HOST:PORT says where the API answers"),
        )
    return Generated(config_yaml.text(made, endpoint, source), len(made), said)


def _stem(source: str) -> str:
    path = urlsplit(source).hostname or "api" if is_url(source) else PurePosixPath(source).stem
    return path if path not in {"main", "app", "__init__", "openapi", "routes", "server"} else "api"

"""`archgw generate-prompt-targets`: prints a configuration generated from the routes of an API."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from pydantic_core import PydanticCustomError

from controlplane.config.addresses import HostPort, Url, parse_hosts, parse_url
from controlplane.config.load import load
from controlplane.config.names import is_name
from controlplane.config.url_paths import parse_path
from controlplane.errors import ConfigError, SourceError, UsageError
from controlplane.generate.generate import Generated, GenerateOptions, generate


def generate_prompt_targets(
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE.py]", help="A FastAPI or Flask source. It is read, never run.")
    ] = None,
    openapi: Annotated[
        str | None, typer.Option("--openapi", metavar="FILE|URL", help="An OpenAPI 3 document instead, JSON or YAML.")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", metavar="HOST:PORT|URL", help="Location the API answers.")
    ] = None,
    endpoint_name: Annotated[
        str | None, typer.Option("--endpoint-name", metavar="NAME", help="The name of the API in `endpoints`.")
    ] = None,
    path_prefix: Annotated[
        str, typer.Option("--path-prefix", metavar="/PATH", help="A prefix of all paths, such as /api/v1.")
    ] = "",
) -> None:
    """Print a configuration with a prompt target for each GET and POST route of an API; notes go to stderr."""
    if (file is None) == (openapi is None):
        raise UsageError("name one source: a Python file, or --openapi FILE or URL")
    options = _options(endpoint, endpoint_name, path_prefix)
    if file is not None and file.suffix.lower() in {".json", ".yaml", ".yml"}:
        raise UsageError(f"{file} is not a Python file; for an OpenAPI document: --openapi {file}")
    source = str(file) if file is not None else openapi or ""
    generated = generate(source, options, is_openapi=file is None)
    _check(generated, source)
    for note in generated.notes:
        typer.echo(str(note), err=True)
    typer.echo(generated.text, nl=False)


def _options(endpoint: str | None, endpoint_name: str | None, path_prefix: str) -> GenerateOptions:
    if endpoint_name is not None and not is_name(endpoint_name):
        raise UsageError(
            f"--endpoint-name: {endpoint_name!r} is not a usable name; use 1 to 64 letters, digits, _ . or -"
        )
    try:
        if path_prefix:
            parse_path(path_prefix)
        return GenerateOptions(_address(endpoint), endpoint_name, path_prefix.rstrip("/"))
    except PydanticCustomError as error:
        option = "--endpoint" if not path_prefix or path_prefix.startswith("/") else "--path-prefix"
        raise UsageError(f"{option}: {error.message()}") from None


def _address(endpoint: str | None) -> Url | None:
    if endpoint is None:
        return None
    if "://" in endpoint:
        return parse_url(endpoint)
    host: HostPort = parse_hosts(endpoint)[0]
    return Url(secure=False, host=host.host, port=host.port or 80, path="", path_given=False)


def _check(generated: Generated, source: str) -> None:
    """Checks the generated text as `archgw validate` does. A problem is a bug of archgw."""
    with tempfile.TemporaryDirectory(prefix="archgw-") as folder:
        path = Path(folder) / "arch_config.yaml"
        path.write_text(generated.text, encoding="utf-8")
        try:
            load(path, os.environ)
        except ConfigError as error:
            problem = error.problems[0]
            raise SourceError(
                (
                    problem.__class__(
                        source,
                        1,
                        1,
                        f"generated an invalid file: {problem.message}",
                        "please report this bug of archgw",
                    ),
                )
            ) from None

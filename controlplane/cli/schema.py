"""`archgw schema`: prints the JSON Schema of the configuration file, for editors."""

from __future__ import annotations

import json

import typer

from controlplane.config.json_schema import json_schema


def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of arch_config.yaml."""
    typer.echo(json.dumps(json_schema(), indent=2))

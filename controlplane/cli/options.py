"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunDir = Annotated[
    Path | None,
    typer.Option("--run-dir", metavar="DIR", help="Where the gateway's files lie; several gateways need several."),
]

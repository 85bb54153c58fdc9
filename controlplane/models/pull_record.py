"""What a pull from a hub brought: written beside the files, and what `verify` holds them to.

Written by hub.py, read by cache.py.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from controlplane.models.catalog import Sha256

NAME = ".archgw.json"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Pulled(_Strict):
    """A file, its size in bytes, and its hash as it was checked when it came."""

    path: str
    size: int
    sha256: Sha256


class Record(_Strict):
    """`revision` is what the catalogue asked for, `commit` what that was at the time."""

    repository: str
    revision: str
    commit: str
    files: list[Pulled]


def read(directory: Path) -> Record | None:
    """The record in `directory`; None where there is none, or none that can be read."""
    try:
        return Record.model_validate_json((directory / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def write(directory: Path, record: Record) -> None:
    """Put `record` beside the files it is of."""
    (directory / NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")

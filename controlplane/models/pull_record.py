"""The record of a pull: sizes and hashes of the downloaded files. Written by pull.py, checked by cache.py."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from controlplane.models.catalog import Sha256, Strict

NAME = ".archgw.json"


class Pulled(Strict):
    """A downloaded file: its size in bytes and its verified hash."""

    path: str
    size: int
    sha256: Sha256


class Record(Strict):
    """One pull. `revision`: as in the catalogue. `commit`: its commit at the time of the pull."""

    repository: str
    revision: str
    commit: str
    files: list[Pulled]


def read(directory: Path) -> Record | None:
    """Returns the record in `directory`; None if it is missing or unreadable."""
    try:
        return Record.model_validate_json((directory / NAME).read_bytes())
    except (OSError, ValidationError):
        return None


def write(directory: Path, record: Record) -> None:
    """Writes `record` into `directory`, beside its files."""
    (directory / NAME).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")

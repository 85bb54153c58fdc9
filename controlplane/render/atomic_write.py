"""Atomic replacement of files and symbolic links. Readers see the old content or the new one, never a mixture."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path


def write_file(path: Path, text: str, mode: int) -> None:
    """Replace the content of `path` with `text` atomically.

    The temporary file is created in the same folder, because a rename does not cross file systems. It is private until
    its content is complete.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        # ENOSPC from write() names no file.
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_link(path: Path, target: Path) -> None:
    """Make `path` a symbolic link to `target`. An existing link is replaced."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        (temporary / path.name).symlink_to(target)
        (temporary / path.name).replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

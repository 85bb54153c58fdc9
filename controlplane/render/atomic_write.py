"""Writing so that a reader sees the old or the new, and never more readers than there should be."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path


def write_file(path: Path, text: str, mode: int) -> None:
    """Replace `path` by `text`, of which no reader sees a part.

    The temporary file lies beside it, since a rename does not cross file systems, and is private until it is done.
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
        # A full disk does not say which file it had no room for.
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
        raise


def write_link(path: Path, target: Path) -> None:
    """Make `path` a symbolic link to `target`, whatever link it was before."""
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        (temporary / path.name).symlink_to(target)
        (temporary / path.name).replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)

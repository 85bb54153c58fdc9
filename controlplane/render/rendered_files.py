"""Rendered files as values, and writing them to a run directory. Made by `gateway_files`, written by the runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from controlplane.render.atomic_write import write_file, write_link

READABLE: Final = 0o644
SECRET: Final = 0o600


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """The text and the mode of one file."""

    text: str
    mode: int = READABLE

    def __repr__(self) -> str:
        # Keeps secrets out of tracebacks and assertion messages.
        return f"RenderedFile({len(self.text)} characters, mode={self.mode:o})"


@dataclass(frozen=True, slots=True)
class RenderedFiles:
    """All files and symbolic links of one gateway, by their path under the run directory."""

    files: Mapping[str, RenderedFile]
    links: Mapping[str, Path] = field(default_factory=dict)

    def write(self, root: Path) -> None:
        """Write each file whose content or mode differs, atomically, under `root`.

        The folder of a secret gets mode 0700 before the secret is written.
        """
        root.mkdir(parents=True, exist_ok=True)
        for name, file in self.files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if file.mode == SECRET:
                path.parent.chmod(0o700)
            # Envoy reloads every file that is replaced, even with the same content.
            if not _is_current(path, file):
                write_file(path, file.text, file.mode)
        for name, target in self.links.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            write_link(root / name, target)


def _is_current(path: Path, file: RenderedFile) -> bool:
    try:
        return path.stat().st_mode & 0o777 == file.mode and path.read_bytes() == file.text.encode()
    except FileNotFoundError:
        return False

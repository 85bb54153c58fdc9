"""Atomic replacement of files and links."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from controlplane.render.atomic_write import write_file, write_link
from controlplane.render.rendered_files import RenderedFiles


def test_replaces_a_file_and_sets_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    before = path.stat().st_ino
    write_file(path, "new", 0o600)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_ino != before


def test_failed_write_keeps_the_old_file_and_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f"
    path.write_text("old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        write_file(path, "new", 0o644)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_replaces_an_existing_link(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    for target in (old, new):
        write_link(tmp_path / "link", target)
        assert (tmp_path / "link").readlink() == target
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "new", "old"]


def test_links_a_custom_model_instead_of_copying_it(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    RenderedFiles({}, {"models/toxic": own}).write(tmp_path / "run")
    assert (tmp_path / "run" / "models" / "toxic").resolve() == own

"""Reading and following logs across rotations."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from controlplane.render.run_layout import RunLayout
from controlplane.runtime.native.log_files import follow, last_lines, log_paths


def test_reads_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert last_lines(path, 2) == []
    path.write_bytes(b"one\ntwo\nth\xffree\n")
    assert last_lines(path, 2) == ["two", "th\ufffdree"]
    assert last_lines(path, 0) == []


def test_logs_of_a_service(layout: RunLayout) -> None:
    for name in ("envoy", "extproc-0", "extproc-1", "access"):
        (layout.logs / f"{name}.log").touch()
    assert [path.stem for path in log_paths(layout, "extproc")] == ["extproc-0", "extproc-1"]
    assert [path.stem for path in log_paths(layout, "access")] == ["access"]
    assert len(log_paths(layout, None)) == 4


def test_follows_whole_lines_across_a_rotation(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text("before\n")
    seen: list[str] = []

    def steps() -> Iterator[bool]:
        with path.open("a") as file:
            file.write("one\nha")
        yield True
        with path.open("a") as file:
            file.write("lf\n")
        yield True
        path.rename(tmp_path / "x.log.1")
        path.write_text("rotated\n")
        yield False

    script = steps()
    follow([path], lambda _, line: seen.append(line), lambda: next(script))
    assert seen == ["one", "half", "rotated"]

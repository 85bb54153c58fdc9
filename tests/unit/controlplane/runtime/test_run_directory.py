"""Checks, lock, creation and cleaning of the run directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from controlplane.errors import RuntimeFault, UsageError
from controlplane.render.run_layout import RunLayout
from controlplane.runtime import run_directory


def test_rejects_a_path_too_long_for_unix_sockets(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"bytes too long .* 107 at most; .* --run-dir"):
        # Two bytes per character.
        run_directory.run_layout(tmp_path / ("\N{LATIN SMALL LETTER U WITH DIAERESIS}" * 50))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a,b", "a#b", "a?b", "a%41b"])
def test_rejects_a_path_that_grpc_cannot_parse(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--run-dir"):
        run_directory.run_layout(tmp_path / name)


def test_rejects_a_path_that_is_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\\xffb has a name that is not UTF-8; .* --output"):
        run_directory.run_layout(tmp_path / os.fsdecode(b"a\xffb"), "--output")


def test_default_is_the_users_state_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/s")
    assert run_directory.run_layout(None).root == Path("/s/archgw/run")


def test_run_directory_is_private(layout: RunLayout) -> None:
    assert stat.S_IMODE(layout.root.stat().st_mode) == 0o700
    assert stat.S_IMODE(layout.secrets.stat().st_mode) == 0o700


def test_clear_removes_keys_sockets_and_shared_memory_but_no_logs(layout: RunLayout) -> None:
    (layout.secrets / "k.yaml").write_text("k")
    (layout.logs / "envoy.log").write_text("l")
    region = Path("/dev/shm") / f"{layout.shared_memory_prefix}x"  # noqa: S108
    region.write_text("r")
    layout.state.write_text("{}")
    run_directory.clear(layout)
    assert [path.name for path in layout.root.iterdir()] == ["logs"]
    assert (layout.logs / "envoy.log").read_text() == "l"
    assert not region.exists()


def test_lock_excludes_a_second_command(layout: RunLayout) -> None:
    with run_directory.locked(layout), pytest.raises(RuntimeFault, match="at work"), run_directory.locked(layout):
        pass
    with run_directory.locked(layout):
        pass


def test_clear_keeps_custom_models(layout: RunLayout, tmp_path: Path) -> None:
    weights = tmp_path / "mine" / "1" / "weights"
    weights.mkdir(parents=True)
    (weights / "model.onnx").touch()
    served = layout.models / "mine" / "1"
    served.mkdir(parents=True)
    (served / "weights").symlink_to(weights)
    run_directory.clear(layout)
    assert not layout.models.exists()
    assert (weights / "model.onnx").exists()


@pytest.mark.parametrize("name", ["models/mine.onnx", "compose.yaml"])
def test_rejects_a_folder_with_foreign_files(tmp_path: Path, name: str) -> None:
    layout, work = run_directory.run_layout(tmp_path), tmp_path / name
    work.parent.mkdir(exist_ok=True)
    work.touch()
    with pytest.raises(UsageError, match=rf"did not create {name.partition('/')[0]} "), run_directory.locked(layout):
        pass
    assert {path.name for path in tmp_path.rglob("*")} == set(name.split("/"))


@pytest.mark.parametrize("beside", ["lock", "filter.json", None])
def test_accepts_empty_or_archgw_created_run_directory(tmp_path: Path, beside: str | None) -> None:
    layout = run_directory.run_layout(tmp_path)
    (tmp_path / "arch_config.yaml").touch()
    if beside is not None:
        layout.compose.touch()
        (tmp_path / beside).touch()
    with run_directory.locked(layout):
        run_directory.create(layout)
        assert layout.secrets.is_dir()
    with run_directory.locked(layout):
        run_directory.clear(layout)
    assert (tmp_path / "arch_config.yaml").exists()
    assert not layout.secrets.exists()

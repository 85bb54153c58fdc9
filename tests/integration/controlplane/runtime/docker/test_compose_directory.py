"""Writing the run directory of a gateway in containers, once and again; ownership of files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlplane.config.model_serving import Mode
from controlplane.errors import RenderError
from controlplane.render.run_layout import RunLayout
from controlplane.runtime.docker import compose_directory
from tests.unit.controlplane.runtime.docker.gateways import IMAGES, LOCAL, REMOTE, gateway


def stamps(layout: RunLayout) -> dict[str, int]:
    return {str(p.relative_to(layout.root)): p.stat().st_mtime_ns for p in layout.root.rglob("*") if p.is_file()}


def test_second_write_changes_no_file(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "run")
    subject = gateway(LOCAL, tmp_path, Mode.LOCAL_CPU)
    compose_directory.write(subject, layout, "p", IMAGES)
    before = stamps(layout)
    compose_directory.write(subject, layout, "p", IMAGES)
    assert stamps(layout) == before


def test_removes_the_key_of_a_removed_provider(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "run")
    compose_directory.write(gateway(REMOTE, tmp_path, Mode.REMOTE), layout, "p", IMAGES)
    assert any(layout.secrets.iterdir())
    compose_directory.write(gateway(LOCAL, tmp_path, Mode.LOCAL_CPU), layout, "p", IMAGES)
    assert not any(layout.secrets.iterdir())


def test_files_belong_to_the_containers_user_only(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "run")
    compose_directory.write(gateway(REMOTE, tmp_path, Mode.REMOTE), layout, "p", IMAGES)
    owner = 10_001 if os.getuid() == 0 else os.getuid()
    files = [path for path in (layout.envoy, layout.secrets, layout.tls) for path in path.rglob("*")]
    assert {path.stat().st_uid for path in [*files, layout.filter_config]} == {owner}
    assert {path.stat().st_mode & 0o777 for path in layout.secrets.iterdir()} == {0o600}
    assert layout.root.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="another user's containers run as that user")
def test_rejects_models_that_only_root_can_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tmp_path / "guard"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").touch(mode=0o600)
    monkeypatch.setattr(compose_directory, "folders_of", lambda _: (model,))
    with pytest.raises(RenderError, match=rf"model\.py cannot be read.*chmod -R a\+rX {model}"):
        compose_directory.write(gateway(LOCAL, tmp_path, Mode.LOCAL_CPU), RunLayout(tmp_path / "run"), "p", IMAGES)
    (model / "1" / "model.py").chmod(0o644)
    compose_directory.write(gateway(LOCAL, tmp_path, Mode.LOCAL_CPU), RunLayout(tmp_path / "run"), "p", IMAGES)


def test_rootless_engine_runs_containers_as_uid_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 1000)
    for rootless, user in ((True, "0:0"), (False, "1000:1000")):
        layout = RunLayout(tmp_path / user)
        compose_directory.write(gateway(LOCAL, tmp_path, Mode.LOCAL_CPU), layout, "p", IMAGES, rootless=rootless)
        assert f'user: "{user}"' in layout.compose.read_text()

"""The run directory of a gateway of containers, written twice: what stays, what goes, whose it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from controlplane.config.model_serving import Mode
from controlplane.errors import RenderError
from controlplane.runtime.docker import directory
from controlplane.runtime.layout import RunLayout
from tests.unit.controlplane.runtime.docker.gateways import IMAGES, LOCAL, REMOTE, gateway


def stamps(layout: RunLayout) -> dict[str, int]:
    return {str(p.relative_to(layout.root)): p.stat().st_mtime_ns for p in layout.root.rglob("*") if p.is_file()}


def test_written_again_nothing_is_touched(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "run")
    subject = gateway(LOCAL, tmp_path, Mode.LOCAL_CPU)
    directory.write(subject, layout, "p", IMAGES)
    before = stamps(layout)
    directory.write(subject, layout, "p", IMAGES)
    assert stamps(layout) == before


def test_a_key_that_the_configuration_no_longer_has_goes(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "run")
    directory.write(gateway(REMOTE, tmp_path, Mode.REMOTE), layout, "p", IMAGES)
    assert any(layout.secrets.iterdir())
    directory.write(gateway(LOCAL, tmp_path, Mode.LOCAL_CPU), layout, "p", IMAGES)
    assert not any(layout.secrets.iterdir())


def test_files_are_the_users_of_the_containers_and_nobody_elses(tmp_path: Path) -> None:
    layout = RunLayout(tmp_path / "run")
    directory.write(gateway(REMOTE, tmp_path, Mode.REMOTE), layout, "p", IMAGES)
    owner = 10_001 if os.getuid() == 0 else os.getuid()
    files = [path for path in (layout.envoy, layout.secrets, layout.tls) for path in path.rglob("*")]
    assert {path.stat().st_uid for path in [*files, layout.filter_config]} == {owner}
    assert {path.stat().st_mode & 0o777 for path in layout.secrets.iterdir()} == {0o600}
    assert layout.root.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="another user's containers run as that user")
def test_models_that_root_alone_may_read_are_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "guard"
    (model / "1").mkdir(parents=True)
    (model / "1" / "model.py").touch(mode=0o600)
    monkeypatch.setattr(directory, "folders_of", lambda _: (model,))
    with pytest.raises(RenderError, match=rf"model\.py cannot be read.*chmod -R a\+rX {model}"):
        directory.write(gateway(LOCAL, tmp_path, Mode.LOCAL_CPU), RunLayout(tmp_path / "run"), "p", IMAGES)
    (model / "1" / "model.py").chmod(0o644)
    directory.write(gateway(LOCAL, tmp_path, Mode.LOCAL_CPU), RunLayout(tmp_path / "run"), "p", IMAGES)


def test_to_a_rootless_engine_its_operator_is_user_0(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    monkeypatch.setattr(os, "getgid", lambda: 1000)
    for rootless, user in ((True, "0:0"), (False, "1000:1000")):
        layout = RunLayout(tmp_path / user)
        directory.write(gateway(LOCAL, tmp_path, Mode.LOCAL_CPU), layout, "p", IMAGES, rootless=rootless)
        assert f'user: "{user}"' in layout.compose.read_text()

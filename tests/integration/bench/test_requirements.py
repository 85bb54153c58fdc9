"""Missing requirements of the bench are reported at its start, with the install command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench import litellm, requirements
from bench.load import BenchError


def test_missing_wrk_exits_2_with_the_install_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--rows", "direct"],
        env={"PATH": str(tmp_path)},
        check=False,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "bench: not installed:\n  wrk, the load generator: apt-get install wrk\n"


@pytest.fixture
def wrk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wrk").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.mark.usefixtures("wrk")
def test_missing_packages_are_named_with_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_TEST_MODULES", ("no_such_package.module",))
    monkeypatch.setattr(requirements, "_PACKAGES", ("no-such-package",))
    with pytest.raises(requirements.Missing) as error:
        requirements.check(["remote"], tmp_path)
    first, second = str(error.value).splitlines()[1:]
    assert "pip install --editable '.[local]'" in first
    assert "pip install --editable '.[local,test]'" in second


@pytest.mark.usefixtures("wrk")
def test_only_selected_rows_have_requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements, "_TEST_MODULES", ("no_such_module",))
    requirements.check(["egress"], tmp_path)
    assert not (tmp_path / "litellm").exists()


def test_unreachable_package_index_is_a_bench_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(BenchError, match="leave it out with --rows"):
        litellm.install(tmp_path)

"""The wheel that `pip install .` builds holds the files that travel beside the code, and what images are built from."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from controlplane.runtime.docker.build_context import files

ROOT = Path(__file__).resolve().parents[2]
TRAVELLING = (
    "docker",
    "envoy/templates",
    "triton_models",
    "examples/quickstart",
    "pyproject.toml",
    "README.md",
    "LICENSE",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(directory), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = directory.glob("archgw-*.whl")
    return wheel


def test_wheel_contains_all_packaged_files(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["/usr/bin/env", "git", "-C", str(ROOT), "ls-files", *TRAVELLING], check=True, capture_output=True, text=True
    ).stdout.split()
    assert len(tracked) > 20
    assert [name for name in tracked if f"controlplane/_assets/{name}" not in packed] == []
    assert {"controlplane/cli/app.py", "extproc/__main__.py", "extproc/vocabulary.txt.gz"} <= packed


def test_an_installed_wheel_builds_images_from_the_same_files_as_the_checkout(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)
    code = (
        "import json; from controlplane.runtime.docker.build_context import files; "
        "print(json.dumps({name: str(path) for name, path in files().items()}))"
    )
    # -P, and elsewhere than in the checkout: the modules are those of the wheel.
    output = subprocess.run(
        [sys.executable, "-P", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    ).stdout
    installed = {name: Path(path) for name, path in json.loads(output).items()}
    assert all(path.is_relative_to(tmp_path) for path in installed.values())
    contents = {name: path.read_bytes() for name, path in installed.items()}
    assert contents == {name: path.read_bytes() for name, path in files().items()}

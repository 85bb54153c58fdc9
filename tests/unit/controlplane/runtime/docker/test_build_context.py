"""Content and digest of the build context."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.errors import RuntimeFault
from controlplane.runtime.docker import build_context
from controlplane.runtime.docker.build_context import Recipe, assembled_context, digest, files

RECIPE = Recipe("r:1", "docker/r.Dockerfile", "base:1", ("base:1",), {"BASE": "base:1"}, ("docker", "extproc"))


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small fake checkout."""
    for name in ("docker/r.Dockerfile", "extproc/server.py", "extproc/words.txt"):
        file = tmp_path / "checkout" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    monkeypatch.setattr(build_context, "_top", lambda name: tmp_path / "checkout" / name)
    return tmp_path / "checkout"


def test_context_contains_all_files_that_dockerfiles_copy() -> None:
    found = files()
    assert {"pyproject.toml", "README.md", "LICENSE", "docker/requirements.py", "docker/seed.py"} <= found.keys()
    assert {"controlplane/cli/app.py", "extproc/__main__.py", "triton_models/catalog.yaml"} <= found.keys()
    assert {"envoy/templates/lds.yaml.j2", "examples/quickstart/arch_config.yaml"} <= found.keys()
    for path, file in found.items():
        if path.endswith(".Dockerfile"):
            copied = [line.split()[1:-1] for line in file.read_text().splitlines() if line.startswith("COPY ")]
            for source in (each for line in copied if not line[0].startswith("--from") for each in line):
                assert any(name == source or name.startswith(f"{source}/") for name in found), (path, source)


def test_context_contains_nothing_else_of_a_checkout() -> None:
    for path in files():
        services = path.split("/")
        assert services[0] in {name.split("/")[0] for name in build_context.WHOLE}
        assert not any(service.startswith(".") or service in {"__pycache__", "_assets"} for service in services), path


@pytest.mark.parametrize(
    "name", ["extproc/.env", "extproc/.git/config", "extproc/__pycache__/server.py", "extproc/server.pyc"]
)
def test_context_excludes_hidden_and_generated_files(checkout: Path, name: str) -> None:
    before = digest(RECIPE)
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("SECRET=1")
    assert name not in files(RECIPE.sources)
    assert digest(RECIPE) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "extproc/server.py").write_text("other"),
        lambda root: (root / "extproc/new.py").write_text(""),
        lambda root: (root / "extproc/words.txt").unlink(),
        lambda root: (root / "extproc/words.txt").rename(root / "extproc/more.txt"),
    ],
)
def test_changed_source_changes_the_digest(checkout: Path, change: Callable[[Path], object]) -> None:
    before = digest(RECIPE)
    change(checkout)
    assert digest(RECIPE) != before


def test_changed_base_or_argument_changes_the_digest(checkout: Path) -> None:
    others = [replace(RECIPE, bases=("base:2",)), replace(RECIPE, arguments={"BASE": "base:2"})]
    assert len({digest(each) for each in (RECIPE, *others)}) == 3


def test_digest_ignores_times_modes_and_other_files(checkout: Path) -> None:
    before = digest(RECIPE)
    os.utime(checkout / "extproc/server.py", (1, 1))
    (checkout / "extproc/server.py").chmod(0o600)
    (checkout / "README.md").write_text("more")
    assert digest(RECIPE) == before


def test_context_modes_do_not_depend_on_the_umask(checkout: Path) -> None:
    (checkout / "extproc/server.py").chmod(0o600)
    (checkout / "extproc/words.txt").chmod(0o666)
    (checkout / "docker").chmod(0o700)
    former = os.umask(0o077)
    try:
        with assembled_context(RECIPE.sources) as root:
            modes = {path.relative_to(root).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in root.rglob("*")}
    finally:
        os.umask(former)
    assert modes == {
        **dict.fromkeys(("docker", "extproc"), 0o755),
        **dict.fromkeys(("docker/r.Dockerfile", "extproc/server.py", "extproc/words.txt"), 0o644),
    }
    assert not root.exists()


def test_names_a_folder_that_the_installation_lacks(checkout: Path) -> None:
    (checkout / "docker/r.Dockerfile").unlink()
    with pytest.raises(RuntimeFault, match="docker is missing"):
        files(RECIPE.sources)

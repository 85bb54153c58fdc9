"""The images on a real engine: their users and their content."""

from __future__ import annotations

import io
import json
import os
import subprocess
import tarfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

import controlplane
from controlplane.runtime.docker import images
from controlplane.runtime.docker.build_context import WHOLE, files
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.image_build import SOURCES_LABEL
from controlplane.runtime.docker.images import Images, Variant, recipes
from tests.docker.engine import docker, try_docker
from tests.docker.images import built

ROOT: Final = Path(__file__).resolve().parents[2]
# A user that the image does not know, on a read-only root, as in a gateway's containers.
_CONFINED: Final = (
    *("run", "--rm", "--user", "12345:12345", "--read-only", "--tmpfs", "/tmp", "--network", "none"),  # noqa: S108
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
)
_MOST_MB: Final = 250
_FOREIGN: Final = ("torch", "onnxruntime", "pytriton", "xllamacpp", "onnx", "pip")
# Endings of the names of files with keys, histories and settings of a machine.
_PRIVATE: Final = (".env", ".git", ".pem", ".key", "id_rsa", ".pypirc", ".netrc", "pip.conf")


@pytest.fixture(scope="module")
def ours(docker_answers: None) -> Images:
    built()
    return images.required_images(Variant.CPU, local=True, registry=os.environ.get("ARCHGW_IMAGES"))


@pytest.fixture
def volume(docker_answers: None) -> Iterator[str]:
    name = f"archgw-test-{uuid.uuid4().hex[:12]}"
    docker("volume", "create", name)
    yield name
    docker("volume", "rm", "--force", name)


def inspected(reference: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(docker("image", "inspect", reference))[0]
    return found


def confined(*arguments: str) -> str:
    return docker(*_CONFINED, *arguments)


def test_filter_image_is_small(ours: Images) -> None:
    size = {name: inspected(name)["Size"] / 1e6 for name in ours.needed}
    for recipe in recipes(ours).values():
        base = inspected(recipe.base)["Size"] / 1e6
        print(f"{recipe.reference}: {size[recipe.reference]:.0f} MB, {size[recipe.reference] - base:.0f} over its base")
    base = inspected(recipes(ours)[ours.extproc].base)["Size"] / 1e6
    assert size[ours.extproc] - base <= _MOST_MB


def test_images_are_labelled_with_version_base_and_sources(ours: Images) -> None:
    for recipe in recipes(ours).values():
        labels = inspected(recipe.reference)["Config"]["Labels"]
        assert labels["org.opencontainers.image.version"] == controlplane.__version__
        assert labels["org.opencontainers.image.base.name"] == recipe.base
        assert f"/{recipe.reference}".rpartition("/")[2].startswith(f"{labels['org.opencontainers.image.title']}:")
        assert {f"org.opencontainers.image.{name}" for name in ("description", "licenses", "revision")} <= labels.keys()
        assert len(labels[SOURCES_LABEL]) == 64


def test_no_image_is_missing_after_the_build(ours: Images) -> None:
    assert images.missing(Engine.find(), ours) == ()


def test_user_of_the_images_has_a_home(ours: Images) -> None:
    for name in (ours.extproc, ours.models):
        assert inspected(name)["Config"]["User"] == "10001:10001"
        output = docker(
            "run", "--rm", "--network", "none", name, "sh", "-c", "id -un; stat -c '%U %a' $HOME /run/archgw"
        )
        assert output.split() == ["archgw", "archgw", "755", "archgw", "755"]


def test_filter_image_has_no_compiler_triton_torch_or_pip(ours: Images) -> None:
    programs = "for each in cc gcc g++ c++ make tritonserver envoy; do command -v $each; done; ls /opt"
    assert confined(ours.extproc, "sh", "-c", programs).split() == ["venv"]
    code = f"from importlib.util import find_spec\nprint([name for name in {_FOREIGN} if find_spec(name)])"
    assert confined(ours.extproc, "python", "-c", code).strip() == "[]"


def test_python_of_triton_has_all_imports_of_the_models(ours: Images) -> None:
    code = "import numpy, onnxruntime, tokenizers, xllamacpp; print(numpy.__version__.split('.')[0])"
    assert confined(ours.triton, "python3", "-c", code).strip() == "1"


def test_command_runs_as_any_user_on_a_read_only_root(ours: Images) -> None:
    assert confined(ours.extproc, "archgw", "--version").strip() == f"archgw {controlplane.__version__}"


def test_command_renders_as_any_user(ours: Images) -> None:
    config = ROOT / "examples" / "quickstart" / "arch_config.yaml"
    output = confined(
        *("--volume", f"{config}:/etc/archgw/arch_config.yaml:ro", ours.extproc),
        *(
            "sh",
            "-c",
            "archgw render /etc/archgw/arch_config.yaml --local --cpu --output /tmp/run >/dev/null && ls /tmp/run",
        ),
    )
    assert {"envoy", "filter.json"} <= set(output.split())


def test_python_files_are_compiled_in_the_image(ours: Images) -> None:
    """A read-only container would compile them again at each start."""
    code = (
        "import extproc, controlplane, grpc, pathlib; "
        "print([str(p) for m in (extproc, controlplane, grpc) for p in pathlib.Path(m.__file__).parent.rglob('*.py') "
        "if '_assets' not in p.parts and not list((p.parent / '__pycache__').glob(p.stem + '.*.pyc'))])"
    )
    assert confined(ours.extproc, "python", "-c", code).strip() == "[]"


def test_only_root_may_write_to_opt(ours: Images) -> None:
    for name, folders in ((ours.extproc, "/opt"), (ours.models, "/opt"), (ours.triton, "/opt")):
        loose = docker("run", "--rm", "--user", "0", "--network", "none", name, *_find(folders))
        assert loose == "", name


def _find(folder: str) -> tuple[str, ...]:
    return (
        "find",
        folder,
        "-not",
        "-type",
        "l",
        "(",
        "-perm",
        "-o=w",
        "-o",
        "-not",
        "-user",
        "0",
        ")",
        "-print",
        "-quit",
    )


def test_no_private_file_is_in_a_layer(ours: Images) -> None:
    base = set(inspected(recipes(ours)[ours.extproc].base)["RootFS"]["Layers"])
    added = [each for each in inspected(ours.extproc)["RootFS"]["Layers"] if each not in base]
    found = list(_files_of(ours.extproc, len(added)))
    assert any(path.endswith("/controlplane/cli/app.py") for path in found)
    # CA bundles are public. Packages name them .pem.
    private = [path for path in found if path.endswith(_PRIVATE) or "/.git/" in path]
    assert [path for path in private if not path.endswith(("/cacert.pem", "/roots.pem"))] == []


def _files_of(reference: str, layers: int) -> Iterator[str]:
    """The paths in the last `layers` layers."""
    saved = subprocess.run(["docker", "save", reference], capture_output=True, check=True).stdout  # noqa: S607
    with tarfile.open(fileobj=io.BytesIO(saved)) as archive:
        manifest = archive.extractfile("manifest.json")
        assert manifest is not None
        for layer in json.load(manifest)[0]["Layers"][-layers:]:
            with tarfile.open(fileobj=archive.extractfile(layer)) as inner:
                yield from (member.name for member in inner if member.isfile())


def test_manual_build_gets_the_same_files(ours: Images, tmp_path: Path) -> None:
    """.dockerignore admits exactly the files that `archgw build` assembles."""
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    reference = f"archgw-test:{uuid.uuid4().hex[:12]}"
    docker("build", "--quiet", "--file", str(dockerfile), "--tag", reference, str(ROOT))
    try:
        assert sorted(_files_of(reference, 1)) == sorted(files(WHOLE))
    finally:
        docker("image", "rm", reference)


def test_any_user_can_fill_a_new_volume_once(ours: Images, volume: str) -> None:
    mounted = ("--volume", f"{volume}:/var/lib/archgw/models", ours.models)
    first = confined(*mounted)
    assert "minilm-intent: copying what came with this image" in first
    assert "downloading" not in first
    again = confined(*mounted)
    assert "copying" not in again
    assert "minilm-intent: ready" in again
    assert "minilm-intent: whole" in confined(*mounted, "archgw", "models", "verify", "minilm-intent")


def test_interrupted_filling_of_a_volume_is_finished(ours: Images, volume: str) -> None:
    mounted = ("--volume", f"{volume}:/var/lib/archgw/models", ours.models)
    confined(
        *mounted,
        "sh",
        "-c",
        "mkdir -p $ARCHGW_CACHE_DIR/models/.making-minilm-intent/made && archgw models prepare needle",
    )
    assert "needle: ready" in (output := confined(*mounted, "archgw", "models", "prepare", "minilm-intent", "needle"))
    assert "minilm-intent: copying" in output
    assert "needle: copying" not in output


def test_second_filling_of_a_volume_waits_for_the_first(ours: Images, volume: str) -> None:
    command = ["docker", *_CONFINED, "--volume", f"{volume}:/var/lib/archgw/models", ours.models]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    output = [each.communicate(timeout=60)[0] for each in both]
    assert [each.returncode for each in both] == [0, 0]
    assert "".join(output).count("minilm-intent: copying") == 1


def test_other_user_can_add_to_a_volume(ours: Images, volume: str) -> None:
    mounted = ("--volume", f"{volume}:/var/lib/archgw/models")
    confined(*mounted, ours.models, "archgw", "models", "prepare", "minilm-intent")
    assert "copying" in confined(
        "--user", "23456:23456", *mounted, ours.models, "archgw", "models", "prepare", "needle"
    )


def test_hub_model_names_its_pull_command(ours: Images, volume: str) -> None:
    done = try_docker(
        *_CONFINED,
        "--volume",
        f"{volume}:/var/lib/archgw/models",
        ours.models,
        "archgw",
        "models",
        "prepare",
        "Arch-Guard",
    )
    assert done.returncode == 1
    assert "archgw models pull Arch-Guard" in done.stderr

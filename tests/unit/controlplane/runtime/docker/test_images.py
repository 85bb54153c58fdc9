"""Names of images, and which of them are missing. The engine is a table of labels."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

import controlplane
from controlplane import versions
from controlplane.errors import UsageError
from controlplane.runtime.docker import images
from controlplane.runtime.docker.build_context import Recipe, digest
from controlplane.runtime.docker.image_build import SOURCES_LABEL
from controlplane.runtime.docker.images import Images, Variant, base_images, ensure, missing, recipes, required_images

VERSION = controlplane.__version__
ENVOY = f"envoyproxy/envoy:v{versions.envoy()}"
LOCAL = required_images(Variant.CPU, local=True, registry=None)


@dataclass
class Shelf:
    """An engine that has these images, by their labels."""

    has: dict[str, dict[str, str]] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)

    def image_labels(self, reference: str) -> dict[str, str] | None:
        return self.has.get(reference)

    def pull(self, reference: str, say: Any) -> None:
        say("line")
        self.pulled.append(reference)


def full(needed: Images) -> Shelf:
    """An engine with every image, as `archgw build` makes them."""
    known = recipes(needed)
    return Shelf({name: {SOURCES_LABEL: digest(known[name])} if name in known else {} for name in needed.needed})


def test_ours_have_the_version_of_the_package() -> None:
    assert LOCAL.needed == (
        ENVOY,
        f"archgw-extproc:{VERSION}",
        f"archgw-models:{VERSION}",
        f"archgw-triton:{VERSION}-cpu",
    )


def test_no_model_here_needs_neither_triton_nor_models() -> None:
    assert required_images(Variant.CPU, local=False, registry=None).needed == (ENVOY, f"archgw-extproc:{VERSION}")


@pytest.mark.parametrize("folder", ["ghcr.io/acme", "localhost:5000/team/archgw", "acme/"])
def test_ours_lie_in_the_folder_of_a_registry(folder: str) -> None:
    far = required_images(Variant.VLLM, local=True, registry=folder)
    assert far.extproc == f"{folder.rstrip('/')}/archgw-extproc:{VERSION}"
    assert far.triton == f"{folder.rstrip('/')}/archgw-triton:{VERSION}-vllm"
    assert far.envoy == ENVOY


@pytest.mark.parametrize("folder", ["", "/", "-x", "--help", "ghcr.io/acme x", "Ghcr.io", "a@b", "a;b"])
def test_what_is_no_folder_of_a_registry_is_refused(folder: str) -> None:
    with pytest.raises(UsageError, match="folder of a registry"):
        required_images(Variant.CPU, local=True, registry=folder)


@pytest.mark.parametrize(
    ("variant", "base", "libraries"),
    [
        (Variant.CPU, "24.10-py3", "engines"),
        (Variant.GPU, "24.10-py3", "engines gpu"),
        (Variant.VLLM, "24.10-vllm-python-py3", "engines cuda"),
    ],
)
def test_triton_stands_on_nvidias_image(variant: Variant, base: str, libraries: str) -> None:
    needed = required_images(variant, local=True, registry=None)
    recipe = recipes(needed)[needed.triton]
    assert recipe.base == f"nvcr.io/nvidia/tritonserver:{base}"
    assert recipe.arguments == {"BASE": recipe.base, "LISTS": "python:3.11-slim-bookworm", "LIBRARIES": libraries}


def test_code_is_no_source_of_tritons_image_and_lists_are_of_all() -> None:
    for recipe in recipes(LOCAL).values():
        assert "pyproject.toml" in recipe.sources
        assert ("extproc" in recipe.sources) == (recipe.reference != LOCAL.triton)


def test_nothing_is_missing_where_all_are_there_of_these_sources() -> None:
    shelf = full(LOCAL)
    assert missing(shelf, LOCAL) == ()  # type: ignore[arg-type]


def test_one_of_other_sources_is_missing_and_so_is_one_without_a_label() -> None:
    shelf = full(LOCAL)
    shelf.has[LOCAL.extproc] = {SOURCES_LABEL: "0" * 64}
    shelf.has[LOCAL.triton] = {}
    assert missing(shelf, LOCAL) == (LOCAL.extproc, LOCAL.triton)  # type: ignore[arg-type]


def test_a_registrys_images_are_as_they_are() -> None:
    far = required_images(Variant.CPU, local=True, registry="acme")
    assert missing(Shelf({each: {} for each in far.needed}), far) == ()  # type: ignore[arg-type]


def test_what_is_missing_comes_from_its_bases_or_from_the_registry() -> None:
    assert base_images(LOCAL, (LOCAL.extproc, LOCAL.triton)) == (
        "python:3.11-slim-bookworm",
        "nvcr.io/nvidia/tritonserver:24.10-py3",
    )
    assert base_images(LOCAL, (ENVOY,)) == (ENVOY,)
    far = required_images(Variant.CPU, local=True, registry="acme")
    assert base_images(far, (far.extproc,)) == (far.extproc,)


def test_what_is_missing_is_built_here_and_envoy_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[str, str | None]] = []

    def build(_: object, recipe: Recipe, __: object, *, network: str | None) -> None:
        built.append((recipe.reference, network))

    monkeypatch.setattr(images, "build", build)
    shelf = full(LOCAL)
    del shelf.has[ENVOY], shelf.has[LOCAL.models]
    said: list[str] = []
    ensure(shelf, LOCAL, said.append, network="host")  # type: ignore[arg-type]
    assert (shelf.pulled, built) == ([ENVOY], [(LOCAL.models, "host")])
    assert said == [f"fetching the image {ENVOY}"]


def test_with_a_registry_nothing_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "build", None)
    far = required_images(Variant.CPU, local=False, registry="acme")
    shelf = Shelf()
    ensure(shelf, far, lambda _: None, network=None)  # type: ignore[arg-type]
    assert shelf.pulled == [ENVOY, far.extproc]

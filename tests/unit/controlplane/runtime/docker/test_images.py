"""Names of images, and missing ones, with a table of labels as the engine."""

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
class FakeEngine:
    """A fake engine with these images and labels."""

    has: dict[str, dict[str, str]] = field(default_factory=dict)
    pulled: list[str] = field(default_factory=list)

    def image_labels(self, reference: str) -> dict[str, str] | None:
        return self.has.get(reference)

    def pull(self, reference: str, say: Any) -> None:
        say("line")
        self.pulled.append(reference)


def full(needed: Images) -> FakeEngine:
    """Return a fake engine with all images of `archgw build`."""
    known = recipes(needed)
    return FakeEngine({name: {SOURCES_LABEL: digest(known[name])} if name in known else {} for name in needed.needed})


def test_image_tags_are_the_package_version() -> None:
    assert LOCAL.needed == (
        ENVOY,
        f"archgw-extproc:{VERSION}",
        f"archgw-models:{VERSION}",
        f"archgw-triton:{VERSION}-cpu",
    )


def test_no_local_model_needs_no_triton_image() -> None:
    assert required_images(Variant.CPU, local=False, registry=None).needed == (ENVOY, f"archgw-extproc:{VERSION}")


@pytest.mark.parametrize("folder", ["ghcr.io/acme", "localhost:5000/team/archgw", "acme/"])
def test_images_of_a_registry_folder(folder: str) -> None:
    far = required_images(Variant.VLLM, local=True, registry=folder)
    assert far.extproc == f"{folder.rstrip('/')}/archgw-extproc:{VERSION}"
    assert far.triton == f"{folder.rstrip('/')}/archgw-triton:{VERSION}-vllm"
    assert far.envoy == ENVOY


@pytest.mark.parametrize("folder", ["", "/", "-x", "--help", "ghcr.io/acme x", "Ghcr.io", "a@b", "a;b"])
def test_rejects_an_invalid_registry_folder(folder: str) -> None:
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
def test_triton_image_is_based_on_nvidias(variant: Variant, base: str, libraries: str) -> None:
    needed = required_images(variant, local=True, registry=None)
    recipe = recipes(needed)[needed.triton]
    assert recipe.base == f"nvcr.io/nvidia/tritonserver:{base}"
    assert recipe.arguments == {"BASE": recipe.base, "LISTS": "python:3.11-slim-bookworm", "LIBRARIES": libraries}


def test_triton_image_has_no_code_of_ours() -> None:
    for recipe in recipes(LOCAL).values():
        assert "pyproject.toml" in recipe.sources
        assert ("extproc" in recipe.sources) == (recipe.reference != LOCAL.triton)


def test_up_to_date_images_are_not_missing() -> None:
    engine = full(LOCAL)
    assert missing(engine, LOCAL) == ()  # type: ignore[arg-type]


def test_image_of_other_sources_or_without_label_is_missing() -> None:
    engine = full(LOCAL)
    engine.has[LOCAL.extproc] = {SOURCES_LABEL: "0" * 64}
    engine.has[LOCAL.triton] = {}
    assert missing(engine, LOCAL) == (LOCAL.extproc, LOCAL.triton)  # type: ignore[arg-type]


def test_registry_images_are_not_compared_with_sources() -> None:
    far = required_images(Variant.CPU, local=True, registry="acme")
    assert missing(FakeEngine({each: {} for each in far.needed}), far) == ()  # type: ignore[arg-type]


def test_base_images_of_missing_images() -> None:
    assert base_images(LOCAL, (LOCAL.extproc, LOCAL.triton)) == (
        "python:3.11-slim-bookworm",
        "nvcr.io/nvidia/tritonserver:24.10-py3",
    )
    assert base_images(LOCAL, (ENVOY,)) == (ENVOY,)
    far = required_images(Variant.CPU, local=True, registry="acme")
    assert base_images(far, (far.extproc,)) == (far.extproc,)


def test_builds_missing_images_and_pulls_envoy(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[str, str | None]] = []

    def build(_: object, recipe: Recipe, __: object, *, network: str | None) -> None:
        built.append((recipe.reference, network))

    monkeypatch.setattr(images, "build", build)
    engine = full(LOCAL)
    del engine.has[ENVOY], engine.has[LOCAL.models]
    messages: list[str] = []
    ensure(engine, LOCAL, messages.append, network="host")  # type: ignore[arg-type]
    assert (engine.pulled, built) == ([ENVOY], [(LOCAL.models, "host")])
    assert messages == [f"fetching the image {ENVOY}"]


def test_builds_nothing_with_a_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "build", None)
    far = required_images(Variant.CPU, local=False, registry="acme")
    engine = FakeEngine()
    ensure(engine, far, lambda _: None, network=None)  # type: ignore[arg-type]
    assert engine.pulled == [ENVOY, far.extproc]

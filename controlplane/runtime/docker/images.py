"""The images of a gateway in containers: names, recipes, and building or pulling the missing ones.

    envoyproxy/envoy         unchanged
    archgw-extproc           the filter and the control plane
    archgw-models            the models that come from packages, and the program that fills a volume with them
    archgw-triton            Triton with the libraries that models import: for the CPU, for GPUs, or with vLLM

The tag of archgw's images is the version of the package. They are built here from the installed sources, or pulled from
the user's registry.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import controlplane
from controlplane import versions
from controlplane.errors import UsageError
from controlplane.runtime.docker.build_context import Recipe, digest
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.image_build import SOURCES_LABEL, build

_PYTHON: Final = f"python:{versions.PYTHON}-slim-{versions.DEBIAN}"
_TRITON: Final = f"nvcr.io/nvidia/tritonserver:{versions.TRITON_CONTAINER}"
_FOLDER: Final = re.compile(r"[a-z0-9][a-z0-9._:/-]*")


class Variant(StrEnum):
    """The variants of Triton's image."""

    CPU = "cpu"
    GPU = "gpu"
    VLLM = "vllm"

    @property
    def base(self) -> str:
        """The base image, NVIDIA's."""
        return f"{_TRITON}-{'vllm-python-py3' if self is Variant.VLLM else 'py3'}"

    @property
    def libraries(self) -> str:
        """The extras of pyproject.toml that are installed in it."""
        return {Variant.CPU: "engines", Variant.GPU: "engines gpu", Variant.VLLM: "engines cuda"}[self]


@dataclass(frozen=True, slots=True)
class Images:
    """Full references. `local`: models run here; otherwise `models` and `triton` are not needed.

    `registry`: registry folder to pull archgw's images from; None: they are built here.
    """

    envoy: str
    extproc: str
    models: str
    triton: str
    variant: Variant
    local: bool
    registry: str | None

    @property
    def needed(self) -> tuple[str, ...]:
        return (self.envoy, self.extproc, *((self.models, self.triton) if self.local else ()))


def required_images(variant: Variant, *, local: bool, registry: str | None) -> Images:
    """Return the images of a gateway. `local`: models run here. UsageError for an invalid registry."""
    if registry is not None and not _FOLDER.fullmatch(registry := registry.rstrip("/")):
        raise UsageError(f"{registry!r} is no folder of a registry such as ghcr.io/acme")
    version = controlplane.__version__

    def ours(name: str, tag: str = version) -> str:
        return f"{registry}/{name}:{tag}" if registry is not None else f"{name}:{tag}"

    return Images(
        envoy=f"envoyproxy/envoy:v{versions.envoy()}",
        extproc=ours("archgw-extproc"),
        models=ours("archgw-models"),
        triton=ours("archgw-triton", f"{version}-{variant}"),
        variant=variant,
        local=local,
        registry=registry,
    )


def recipes(images: Images) -> dict[str, Recipe]:
    """Return the recipes of the needed images that are archgw's own, by reference."""
    triton = images.variant
    all_recipes = (
        Recipe(images.extproc, "docker/extproc.Dockerfile", _PYTHON, (_PYTHON,), {"BASE": _PYTHON}),
        Recipe(images.models, "docker/models.Dockerfile", _PYTHON, (_PYTHON,), {"BASE": _PYTHON}),
        Recipe(
            images.triton,
            "docker/triton.Dockerfile",
            triton.base,
            (_PYTHON, triton.base),
            {"BASE": triton.base, "LISTS": _PYTHON, "LIBRARIES": triton.libraries},
            sources=("docker/requirements.py", "docker/triton.Dockerfile", "pyproject.toml"),
        ),
    )
    return {recipe.reference: recipe for recipe in all_recipes if recipe.reference in images.needed}


def missing(engine: Engine, images: Images) -> tuple[str, ...]:
    """Return the needed images that the engine lacks, or that were built from other sources than the installed ones."""
    built_here = recipes(images) if images.registry is None else {}
    lacking = []
    for reference in images.needed:
        labels = engine.image_labels(reference)
        recipe = built_here.get(reference)
        if labels is None or (recipe is not None and labels.get(SOURCES_LABEL) != digest(recipe)):
            lacking.append(reference)
    return tuple(lacking)


def base_images(images: Images, references: tuple[str, ...]) -> tuple[str, ...]:
    """Return the images that a registry must provide to build or pull `references`, if the engine lacks them."""
    built_here = recipes(images) if images.registry is None else {}
    sources = (built_here[each].bases if each in built_here else (each,) for each in references)
    return tuple(dict.fromkeys(base for bases in sources for base in bases))


def ensure(engine: Engine, images: Images, say: Callable[[str], None], *, network: str | None) -> None:
    """Build or pull the missing images. `network`: network of the build steps. RuntimeFault if that fails."""
    built_here = recipes(images) if images.registry is None else {}
    for reference in missing(engine, images):
        if reference in built_here:
            build(engine, built_here[reference], say, network=network)
        else:
            say(f"fetching the image {reference}")
            engine.pull(reference, lambda _: None)

"""The images that a gateway of containers needs: their names, whether the engine has them, and how it gets them.

    envoyproxy/envoy         unchanged
    archgw-extproc           the filter, and the control plane beside it
    archgw-models            the models that come from packages, and what fills a volume with them
    archgw-triton            Triton with the libraries that models import: one for the CPU, one for GPUs, one with vLLM

Ours are tagged with the package's version. They are built on this machine from the installed sources, or fetched from
the registry's folder that the user names.
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
    """What Triton's image is made for."""

    CPU = "cpu"
    GPU = "gpu"
    VLLM = "vllm"

    @property
    def base(self) -> str:
        """NVIDIA's image."""
        return f"{_TRITON}-{'vllm-python-py3' if self is Variant.VLLM else 'py3'}"

    @property
    def libraries(self) -> str:
        """The extras of ours that go into it."""
        return {Variant.CPU: "engines", Variant.GPU: "engines gpu", Variant.VLLM: "engines cuda"}[self]


@dataclass(frozen=True, slots=True)
class Images:
    """Full references. Without `local`, `models` and `triton` are needed by nobody.

    `registry`: the folder that ours are fetched from; None: they are built here.
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
    """The images of a gateway; `local`: whether models run beside it. UsageError for a registry that cannot be one."""
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
    """Reference -> how it is built, for ours among the needed ones."""
    triton = images.variant
    all_of_them = (
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
    return {recipe.reference: recipe for recipe in all_of_them if recipe.reference in images.needed}


def missing(engine: Engine, images: Images) -> tuple[str, ...]:
    """The needed ones that the engine does not have, or has of other sources than those installed here."""
    built_here = recipes(images) if images.registry is None else {}
    lacking = []
    for reference in images.needed:
        labels = engine.image_labels(reference)
        recipe = built_here.get(reference)
        if labels is None or (recipe is not None and labels.get(SOURCES_LABEL) != digest(recipe)):
            lacking.append(reference)
    return tuple(lacking)


def base_images(images: Images, references: tuple[str, ...]) -> tuple[str, ...]:
    """The images that a registry must give, where the engine lacks them, for `references` to be had."""
    built_here = recipes(images) if images.registry is None else {}
    wanted_bases = (built_here[each].bases if each in built_here else (each,) for each in references)
    return tuple(dict.fromkeys(base for bases in wanted_bases for base in bases))


def ensure(engine: Engine, images: Images, say: Callable[[str], None], *, network: str | None) -> None:
    """Build or fetch what is missing. `network`: that of the builds' steps. RuntimeFault says the way out."""
    built_here = recipes(images) if images.registry is None else {}
    for reference in missing(engine, images):
        if reference in built_here:
            build(engine, built_here[reference], say, network=network)
        else:
            say(f"fetching the image {reference}")
            engine.pull(reference, lambda _: None)

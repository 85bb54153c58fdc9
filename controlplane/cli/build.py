"""`archgw build`: builds the images of archgw and pushes them to a registry."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli.columns import columns
from controlplane.runtime.docker import images
from controlplane.runtime.docker.build import build as build_image
from controlplane.runtime.docker.context import Recipe
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.images import Variant
from controlplane.runtime.signals import InterruptedStartError, signals_raise


def build(
    gpu: Annotated[bool, typer.Option("--gpu", help="Triton for models on a GPU instead of a CPU.")] = False,
    vllm: Annotated[bool, typer.Option("--vllm", help="Triton with vLLM, for large models on a GPU.")] = False,
    push: Annotated[
        str | None, typer.Option("--push", metavar="REPO", help="Then push them to a registry, as REPO/archgw-...")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="NET",
            envvar="ARCHGW_BUILD_NETWORK",
            help="As `docker build --network`; use `host` when containers cannot reach the network.",
        ),
    ] = None,
) -> None:
    """Build the images of archgw: the filter, the models, and Triton with the packages of the models.

    `archgw up` builds missing images by itself. With a registry, build and push once, then use `up --images REPO`.
    """
    chosen = [variant for variant, given in ((Variant.GPU, gpu), (Variant.VLLM, vllm)) if given] or [Variant.CPU]
    # Refuses an invalid registry name before an hour of building.
    named = [
        (images.wanted(each, local=True, registry=None), images.wanted(each, local=True, registry=push))
        for each in chosen
    ]
    engine = Engine.find()
    engine.check()
    recipes = {name: recipe for local, _ in named for name, recipe in images.recipes(local).items()}
    try:
        # Otherwise `docker build` and the copy of the sources would outlive this process.
        with signals_raise():
            for recipe in recipes.values():
                build_image(engine, recipe, _say, network=network)
    except InterruptedStartError as interruption:
        typer.echo(f"archgw: {interruption}, the build is stopped", err=True)
        raise typer.Exit(128 + interruption.number) from None
    typer.echo("\n".join(columns([_image_row(engine, recipe) for recipe in recipes.values()])))
    if push is None:
        return
    pushes = {
        source: target
        for local, remote in named
        for source, target in (
            (local.extproc, remote.extproc),
            (local.models, remote.models),
            (local.triton, remote.triton),
        )
    }
    for source, target in pushes.items():
        _say(f"pushing {target}")
        engine.run("tag", source, target)
        engine.stream("push", target, on_line=lambda _: None, doing=f"pushing {target}")
        typer.echo(f"pushed {target}")


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _image_row(engine: Engine, recipe: Recipe) -> tuple[str, ...]:
    image, base = engine.image(recipe.reference), engine.image(recipe.base)
    if image is None:
        return (recipe.reference, "gone")
    # The engine does not have a base image that BuildKit pulled itself.
    added = f"{(image.size - base.size) / 1e6:.0f} MB over {recipe.base}" if base is not None else f"on {recipe.base}"
    return (recipe.reference, f"{image.size / 1e6:.0f} MB", added)

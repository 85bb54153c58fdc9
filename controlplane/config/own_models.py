"""`model_serving.roles`: the models that a file names, found in the repository that it names."""

from __future__ import annotations

from pathlib import Path

from controlplane.compile.plans import OwnModel
from controlplane.config.document import Finding, Loc, MapNode, value_mark
from controlplane.config.serving import ModelServing
from controlplane.models import own


def find(serving: ModelServing, root: MapNode, beside: Path) -> tuple[tuple[OwnModel, ...], tuple[Finding, ...]]:
    """The models, and a finding for each that cannot serve its role. The repository is relative to `beside`."""
    if serving.local is None:
        return (), ()
    repository = beside.absolute() / serving.local.repository
    mark = value_mark(root, ("model_serving", "local", "repository"))
    try:
        if not repository.is_dir():
            return (), (Finding(mark, f"there is no folder {repository}", "the path is relative to this file"),)
        return _find(serving, root, repository)
    except OSError as error:
        return (), (Finding(mark, f"the repository cannot be read: {error.strerror}"),)


def _find(serving: ModelServing, root: MapNode, repository: Path) -> tuple[tuple[OwnModel, ...], tuple[Finding, ...]]:
    models: list[OwnModel] = []
    findings: list[Finding] = []
    for role, name in serving.roles.named.items():
        model = own.inspect(role, name, repository)
        if isinstance(model, OwnModel):
            models.append(model)
        else:
            loc: Loc = ("model_serving", "roles", role, "model")
            findings.append(Finding(value_mark(root, loc), model.message, model.hint))
    return tuple(models), tuple(findings)

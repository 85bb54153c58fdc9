"""Triton's model repository as texts: config.pbtxt and all the Python that a model needs. Called by the renderer.

<name>/config.pbtxt
<name>/1/model.py                  what Triton imports: entry.py.j2, which imports the role's own model.py
<name>/1/triton_models/...         all that it needs, under the same names as in the source tree; Triton puts "1" on the
path The weights stay in the model cache; config.pbtxt names their folders.

A model of the user's own is linked, entry by entry, but for the file that Triton imports: own_entry.py.j2 stands for
that one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from controlplane.assets import asset
from controlplane.compile.plans import ModelInstance, ModelPlan
from controlplane.errors import ModelError
from controlplane.models import cache
from controlplane.models.catalog import catalog

# Besides the role's own folder: what its modules import.
_SHARED = ("__init__.py", "adaptor.py", "errors.py")
_BORROWED: Mapping[str, tuple[str, ...]] = {"guard": ("embed/__init__.py", "embed/encoder.py")}
_TRAVELLING = {".py", ".json"}


def render_repository(plan: ModelPlan) -> Mapping[str, str]:
    """Path below the repository -> text, for every model of the plan.

    ModelError when the plan names an unknown role.
    """
    files: dict[str, str] = {}
    for instance in plan.models:
        files.update({f"{instance.name}/{path}": text for path, text in _model(instance).items()})
    for own in plan.own:
        for path in own.entry_points:
            files[f"{own.name}/{path}"] = _template("own_entry.py.j2").render(path=str(own.folder / path))
    return files


def link_own(plan: ModelPlan) -> Mapping[str, Path]:
    """Path below the repository -> where it leads, for what the user's own models are made of."""
    return {f"{own.name}/{path}": own.folder / path for own in plan.own for path in own.entries}


def _model(instance: ModelInstance) -> dict[str, str]:
    known = catalog()
    if instance.role not in known.roles:
        raise ModelError(f"no model serves the role {instance.role!r}; there are: {', '.join(known.roles)}")
    root = asset("triton_models")
    own = sorted(path for path in (root / instance.role).iterdir() if path.suffix in _TRAVELLING)
    wanted = [*_SHARED, *_BORROWED.get(instance.role, ()), *(f"{instance.role}/{path.name}" for path in own)]
    files = {f"1/triton_models/{path}": (root / path).read_text(encoding="utf-8") for path in wanted}
    files["config.pbtxt"] = _config(instance)
    files["1/model.py"] = _template("entry.py.j2").render(role=instance.role)
    return files


def _config(instance: ModelInstance) -> str:
    known = catalog()
    folders = {name: str(cache.folder(name, known.artefacts[name])) for name in known.roles[instance.role]}
    return _template(f"{instance.role}/config.pbtxt.j2").render(
        name=instance.name,
        instances=instance.instances,
        max_batch_size=instance.max_batch_size,
        parameters=[*folders.items(), *instance.parameters],
    )


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(asset("triton_models")),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - not HTML; every text goes through `quoted`
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # A protobuf text string is escaped as a JSON string is.
    environment.filters["quoted"] = lambda value: json.dumps(str(value), ensure_ascii=False)
    return environment.get_template(name)

"""Triton's model repository as texts: config.pbtxt and all the Python that a model needs. Called by the renderer.

<name>/config.pbtxt
<name>/1/model.py                  what Triton imports: entry.py.j2, which imports the role's own model.py
<name>/1/triton_models/...         all that it needs, under the same names as in the source tree; Triton puts "1" on the
path

The weights stay in the model cache; config.pbtxt names their folders. A model that asks vLLM has one behind it:

<behind>/config.pbtxt
<behind>/1/model.json              what Triton's vLLM backend gives vLLM

A model of the user's own is linked, entry by entry, but for the file that Triton imports: own_entry.py.j2 stands for
that one.
"""

from __future__ import annotations

import ast
import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from controlplane.assets import asset
from controlplane.compile.plans import Device, ModelInstance, ModelPlan
from controlplane.errors import ModelError
from controlplane.models import cache
from controlplane.models.catalog import Artefact, catalog
from controlplane.models.own import config_type
from extproc.shared.roles import ANY_WIDTH, COMPUTE_NS, ROLES, Role

_PACKAGE = "triton_models"
# The files of a role's folder that Triton's copy of it holds.
_COPIED = {".py", ".json"}
# The parameters that hold the folders of a role made of several artefacts; of one, it is `model`.
_PARTS: Mapping[int, tuple[str, ...]] = {1: ("model",), 2: ("encoder", "classifier")}
# Each waits for one answer at a time, and vLLM answers all that are asked at once.
FRONTS = 8
# Of the default encoder.
_WIDTH = 384
# Short texts that a CPU reads one after the other and answers together: the processes around a model wake less often
# for them. More save nothing more, and the first would wait longer.
_TOGETHER = 8


def render_repository(plan: ModelPlan, prepared: Path | None = None) -> Mapping[str, str]:
    """Path below the repository -> text, for every model of the plan.

    `prepared`: the folder of the models that come from packages, as Triton sees it; None: this user's cache. ModelError
    when a role has no model.
    """
    files: dict[str, str] = {}
    for instance in plan.models:
        files.update(_model(instance, prepared))
    for own in plan.own:
        for path in own.entry_points:
            files[f"{own.name}/{path}"] = entry_point(own.folder / path)
    return files


def entry_point(path: Path) -> str:
    """What Triton imports in place of the Python file at `path`, which then finds the installed packages."""
    return _template("own_entry.py.j2").render(path=str(path))


def link_own(plan: ModelPlan) -> Mapping[str, Path]:
    """Path below the repository -> where it leads, for what the user's own models are made of."""
    return {f"{own.name}/{path}": own.folder / path for own in plan.own for path in own.entries}


def _model(instance: ModelInstance, prepared: Path | None) -> dict[str, str]:
    artefacts = _artefacts(instance)
    folders = [str(cache.folder(name, artefact, prepared)) for name, artefact in artefacts.items()]
    code = ROLES[Role(instance.role)].code
    files = {f"1/{_PACKAGE}/{path}": text for path, text in _code(code).items()}
    files["config.pbtxt"] = _config(instance, artefacts, folders)
    files["1/model.py"] = _template("entry.py.j2").render(role=code)
    return {f"{instance.name}/{path}": text for path, text in files.items()} | _behind(instance, artefacts, folders)


@functools.cache
def _code(folder: str) -> Mapping[str, str]:
    """Returns path below triton_models/ -> text: the folder, and every module of the package that its files import."""
    root = asset(_PACKAGE)
    pending = [path for path in sorted((root / folder).iterdir()) if path.suffix in _COPIED]
    files: dict[str, str] = {}
    while pending:
        path = pending.pop()
        name = path.relative_to(root).as_posix()
        if name in files:
            continue
        files[name] = path.read_text(encoding="utf-8")
        pending.append(path.parent / "__init__.py")
        if path.suffix == ".py":
            pending += [root.joinpath(*module).with_suffix(".py") for module in _imports(files[name])]
    return files


def _imports(text: str) -> Iterator[list[str]]:
    """Yields each module of triton_models that a module imports, as its path's parts."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            package, _, module = node.module.partition(".")
            if package == _PACKAGE:
                yield module.split(".")


def _artefacts(instance: ModelInstance) -> dict[str, Artefact]:
    known = catalog()
    names = known.made_of(instance.role, instance.artefact, gpu=instance.device is Device.GPU)
    if not names:
        raise ModelError(f"no model serves the role {instance.role!r}; there are: {', '.join(known.roles)}")
    return {name: known.artefacts[name] for name in names}


def _config(instance: ModelInstance, artefacts: Mapping[str, Artefact], folders: Sequence[str]) -> str:
    first = next(iter(artefacts.values()))
    settings = _settings(instance, first) if len(artefacts) == 1 else {}
    on_gpu = instance.device is Device.GPU and instance.behind is None
    spec = ROLES[Role(instance.role)]
    in_turn = not on_gpu and spec.is_batched and first.engine == "onnxruntime"
    delay = instance.max_queue_delay_us
    if instance.max_batch_size < 2:
        delay = None
    elif delay is None and (on_gpu or in_turn):
        delay = 0  # what came in while the model was busy goes together; nothing waits for more
    any_width = spec.output_width == ANY_WIDTH
    return _template("config.pbtxt.j2").render(
        name=instance.name,
        inputs=spec.inputs,
        output=spec.output,
        output_type=config_type(spec.output_datatype),
        width=settings.get("width", _WIDTH) if any_width else spec.output_width,
        is_decoupled=spec.is_decoupled,
        compute_ns=COMPUTE_NS,
        kind="KIND_GPU" if on_gpu else "KIND_CPU",
        instances=instance.instances if instance.behind is None else max(FRONTS, instance.instances),
        max_batch_size=instance.max_batch_size,
        max_queue_delay_us=delay,
        together=min(_TOGETHER, instance.max_batch_size) if in_turn else None,
        parameters=[
            ("engine", first.engine),
            *(_computes(instance, folders) if instance.behind is None else [("vllm", instance.behind)]),
            *([("background", str(instance.background))] if instance.background else []),
            *settings.items(),
            *instance.parameters,
        ],
    )


def _computes(instance: ModelInstance, folders: Sequence[str]) -> list[tuple[str, str]]:
    return [*zip(_PARTS[len(folders)], folders, strict=True), ("threads", str(instance.threads))]


def _settings(instance: ModelInstance, artefact: Artefact) -> Mapping[str, str]:
    if instance.behind is not None:
        return {}  # they are vLLM's
    most = (
        {"max_tokens": str(artefact.max_tokens)}
        if ROLES[Role(instance.role)].is_batched and artefact.max_tokens
        else {}
    )
    return {**most, **artefact.settings}


def _behind(instance: ModelInstance, artefacts: Mapping[str, Artefact], folders: Sequence[str]) -> dict[str, str]:
    """The model of Triton's vLLM backend that `instance` asks: what it is told is the catalogue's."""
    if instance.behind is None:
        return {}
    ((artefact, folder),) = zip(artefacts.values(), folders, strict=True)
    engine = {
        "model": folder,
        # Prompts do not belong in logs.
        "disable_log_requests": True,
        "load_format": "safetensors",  # and no pickle in their place
        **({"max_model_len": artefact.max_tokens} if artefact.max_tokens else {}),
        **{key: _typed(value) for key, value in artefact.settings.items()},
        "trust_remote_code": False,
    }
    return {
        f"{instance.behind}/config.pbtxt": _template("function/vllm.pbtxt.j2").render(name=instance.behind),
        f"{instance.behind}/1/model.json": json.dumps(engine, indent=2) + "\n",
    }


def _typed(value: str) -> object:
    """`0.5` is a number and `true` a truth value to vLLM; the catalogue's settings are texts."""
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


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

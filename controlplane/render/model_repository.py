"""Renders Triton's model repository: config.pbtxt and Python code of each model. Used by `gateway_files`.

<name>/config.pbtxt
<name>/1/model.py                  entry.py.j2: Triton imports it, and it imports the role's own model.py
<name>/1/triton_models/...         all modules that it needs, named as in the source tree; Triton has "1" on the path

The weights stay in the model cache; config.pbtxt has their folders. A model that uses vLLM calls a second model:

<behind>/config.pbtxt
<behind>/1/model.json              the arguments that Triton's vLLM backend gives vLLM

The entries of a user's custom model are symbolic links. Only the file that Triton imports is ours: own_entry.py.j2.
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
from controlplane.models.custom_model import config_type
from extproc.shared.roles import ANY_WIDTH, COMPUTE_NS, ROLES, Role

_PACKAGE = "triton_models"
# Suffixes of the files of a role's folder that are copied for Triton.
_COPIED = {".py", ".json"}
# Instances of a model in front of vLLM. Each has one request at a time; vLLM serves many at once.
FRONTS = 8
# Width of the default encoder's embeddings.
_WIDTH = 384
# Number of short texts that a CPU model computes one by one and answers together, so that other processes wake up less
# often. A larger number saves nothing more, and the first text would wait longer.
_MAX_TOGETHER = 8


def render_repository(plan: ModelPlan, prepared: Path | None = None) -> Mapping[str, str]:
    """Return path below the repository -> text, for all models of the plan.

    `prepared`: the folder of models from packages, as Triton sees it; None: this user's cache. ModelError if
    a role has no model.
    """
    files: dict[str, str] = {}
    for instance in plan.models:
        files.update(_model(instance, prepared))
    for custom in plan.custom:
        for path in custom.entry_points:
            files[f"{custom.name}/{path}"] = entry_point(custom.folder / path)
    return files


def entry_point(path: Path) -> str:
    """Return code that Triton imports instead of the file at `path`. It makes installed packages importable."""
    return _template("own_entry.py.j2").render(path=str(path))


def link_custom_models(plan: ModelPlan) -> Mapping[str, Path]:
    """Return path below the repository -> target of the link, for the files of custom models."""
    return {f"{custom.name}/{path}": custom.folder / path for custom in plan.custom for path in custom.entries}


def _model(instance: ModelInstance, prepared: Path | None) -> dict[str, str]:
    artefacts = _artefacts(instance)
    folders = [str(cache.folder(name, artefact, prepared)) for name, artefact in artefacts.items()]
    code = ROLES[Role(instance.role)].code
    files = {f"1/{_PACKAGE}/{path}": text for path, text in _code(code).items()}
    files["config.pbtxt"] = _config(instance, artefacts, folders)
    files["1/model.py"] = _template("entry.py.j2").render(role=code)
    return {f"{instance.name}/{path}": text for path, text in files.items()} | _vllm_files(instance, artefacts, folders)


@functools.cache
def _code(folder: str) -> Mapping[str, str]:
    """Return path below triton_models/ -> text: the folder, and every module of the package that its files import."""
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
    """Yield each module of triton_models that a module imports, as its path's parts."""
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
        delay = 0  # batches the requests that arrived while the model was busy; a request never waits for others
    any_width = spec.output_width == ANY_WIDTH
    return _template("config.pbtxt.j2").render(
        name=instance.name,
        inputs=spec.inputs,
        # The code for Hugging Face's classifiers does not read them.
        optional_inputs=tuple(spec.optional_inputs) if first.engine == "onnxruntime" else (),
        output=spec.output,
        output_type=config_type(spec.output_datatype),
        width=settings.get("width", _WIDTH) if any_width else spec.output_width,
        is_decoupled=spec.is_decoupled,
        compute_ns=COMPUTE_NS,
        kind="KIND_GPU" if on_gpu else "KIND_CPU",
        instances=instance.instances if instance.behind is None else max(FRONTS, instance.instances),
        max_batch_size=instance.max_batch_size,
        max_queue_delay_us=delay,
        together=min(_MAX_TOGETHER, instance.max_batch_size) if in_turn else None,
        parameters=[
            ("engine", first.engine),
            *(_engine_parameters(instance, folders) if instance.behind is None else [("vllm", instance.behind)]),
            *([("background", str(instance.background))] if instance.background else []),
            *settings.items(),
            *instance.parameters,
        ],
    )


def _engine_parameters(instance: ModelInstance, folders: Sequence[str]) -> list[tuple[str, str]]:
    (folder,) = folders
    return [("model", folder), ("threads", str(instance.threads))]


def _settings(instance: ModelInstance, artefact: Artefact) -> Mapping[str, str]:
    if instance.behind is not None:
        return {}  # the settings become arguments of vLLM
    most = (
        {"max_tokens": str(artefact.max_tokens)}
        if ROLES[Role(instance.role)].is_batched and artefact.max_tokens
        else {}
    )
    return {**most, **artefact.settings}


def _vllm_files(instance: ModelInstance, artefacts: Mapping[str, Artefact], folders: Sequence[str]) -> dict[str, str]:
    """Return the files of the vLLM model behind `instance`. Its arguments are the catalogue's settings."""
    if instance.behind is None:
        return {}
    ((artefact, folder),) = zip(artefacts.values(), folders, strict=True)
    engine = {
        "model": folder,
        # Prompts do not belong in logs.
        "disable_log_requests": True,
        "load_format": "safetensors",  # never pickle, which can run code
        **({"max_model_len": artefact.max_tokens} if artefact.max_tokens else {}),
        **{key: _typed(value) for key, value in artefact.settings.items()},
        "trust_remote_code": False,
    }
    return {
        f"{instance.behind}/config.pbtxt": _template("function/vllm.pbtxt.j2").render(name=instance.behind),
        f"{instance.behind}/1/model.json": json.dumps(engine, indent=2) + "\n",
    }


def _typed(value: str) -> object:
    """Return a setting as JSON: the catalogue's settings are strings, but vLLM expects numbers and booleans."""
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(asset("triton_models")),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - not HTML; templates quote strings with `quoted`
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    # Protobuf's text format escapes strings like JSON.
    environment.filters["quoted"] = lambda value: json.dumps(str(value), ensure_ascii=False)
    return environment.get_template(name)

"""Checks whether a folder of the user's own Triton repository can serve a role. Used by the configuration.

DIR/NAME/config.pbtxt      read here
DIR/NAME/<version>/...     files for its backend
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from controlplane.quoting import quoted
from extproc.shared.roles import ROLES, Role, RoleSpec

if TYPE_CHECKING:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

# Names of the gateway's own models in Triton. A custom model may have the name of the role that it serves.
_TAKEN: Final = frozenset({*Role, "function_vllm"})
# The only backend of the Triton that is installed with `archgw[local]`.
_BACKEND: Final = "python"
_KINDS: Final = ("KIND_CPU", "KIND_GPU", "KIND_AUTO")


@dataclass(frozen=True, slots=True)
class CustomModel:
    """A custom model, served from `folder`. `max_batch`: maximum number of texts in one request.

    `entries`: paths in the folder and in its versions, without `entry_points`, the files that Triton imports.
    `on_gpu`: it needs a GPU.
    """

    role: str
    name: str
    folder: Path
    max_batch: int
    entries: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    on_gpu: bool = False


@dataclass(frozen=True, slots=True)
class UnfitModel:
    """The reason why a folder cannot serve a role."""

    message: str
    hint: str | None = None


def config_type(datatype: str) -> str:
    """Returns config.pbtxt's name of a KServe datatype."""
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def inspect(role: str, name: str, repository: Path) -> CustomModel | UnfitModel:
    """Returns the model `name` of `repository` for `role`, or the reason why it cannot serve the role."""
    folder = repository / name
    path = folder / "config.pbtxt"
    if name in _TAKEN - {role}:
        return UnfitModel(f"the gateway serves a model {name} of its own", "give the folder another name")
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return UnfitModel(f"there is no {path}", "write the folder's name as it stands in the repository")
    except (OSError, UnicodeDecodeError) as error:
        return UnfitModel(f"{path} cannot be read: {type(error).__name__}")
    config = _parse(text)
    if isinstance(config, str):
        return UnfitModel(f"{path} is no model configuration: {config}")
    for unfit in _faults(config, name, folder, ROLES[Role(role)]):
        return UnfitModel(f"{path}: {unfit.message}", unfit.hint)
    entry_points = _entry_points(config, folder)
    return CustomModel(
        role,
        name,
        folder,
        max_batch=max(1, config.max_batch_size),
        entries=tuple(each for each in _entries(folder) if each not in entry_points),
        entry_points=entry_points,
        on_gpu=any(_kind(config, group.kind) == "KIND_GPU" for group in config.instance_group),
    )


def _versions(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if each.is_dir() and each.name.isdecimal())


def _entries(folder: Path) -> list[str]:
    """Returns the entries of the folder and of each version, without Python's caches."""
    versions = _versions(folder)
    paths = [each for each in folder.iterdir() if each not in versions]
    paths += [each for version in versions for each in version.iterdir()]
    return sorted(str(each.relative_to(folder)) for each in paths if each.name != "__pycache__")


def _entry_points(config: ModelConfig, folder: Path) -> tuple[str, ...]:
    name = config.default_model_filename or "model.py"
    return tuple(f"{version.name}/{name}" for version in _versions(folder) if (version / name).is_file())


def _parse(text: str) -> ModelConfig | str:
    """Returns the model's configuration, or the parser's error."""
    # Imported late: Triton's client takes a fifth of a second, and few configurations name custom models.
    from google.protobuf import text_format  # noqa: PLC0415
    from tritonclient.grpc.model_config_pb2 import ModelConfig  # noqa: PLC0415

    try:
        return text_format.Parse(text, ModelConfig())
    except text_format.ParseError as error:
        return str(error)


def _faults(config: ModelConfig, name: str, folder: Path, spec: RoleSpec) -> Iterator[UnfitModel]:
    if config.name not in {"", name}:
        yield UnfitModel(f"it is called {quoted(config.name)}", f'write name: "{name}", as the folder is called')
    if (config.backend or config.platform) != _BACKEND:
        found = config.backend or config.platform or "none"
        yield UnfitModel(
            f"expected the backend {_BACKEND}, found {found}",
            "the local Triton has no other; a model.py can run ONNX Runtime or PyTorch",
        )
    for group in config.instance_group:
        kind = _kind(config, group.kind)
        if kind not in _KINDS:
            yield UnfitModel(
                f"expected {' or '.join(_KINDS)}, found {kind}", "a Python model computes on a CPU or a GPU"
            )
    if config.model_transaction_policy.decoupled:
        yield UnfitModel("the model is decoupled: one request must have one answer", "remove model_transaction_policy")
    # If Triton does not batch for the model, the number of texts is an ordinary dimension.
    texts = [] if config.max_batch_size else [-1]
    output_shape = [*texts, spec.output_width]
    inputs = [f"input {each} TYPE_STRING {[*texts, 1]}" for each in spec.inputs]
    expected = "; ".join([*inputs, f"output {spec.output} {config_type(spec.output_datatype)} {output_shape}"])
    found = "; ".join(
        [f"input {each.name} {_type(config, each.data_type)} {list(each.dims)}" for each in config.input]
        + [f"output {each.name} {_type(config, each.data_type)} {list(each.dims)}" for each in config.output]
    )
    if not _serves(config, spec, [*texts, 1], output_shape):
        yield UnfitModel(
            f"expected {expected}, found {found or 'no tensor'}", "one text in each row, one answer a text"
        )
    if not _entry_points(config, folder):
        yield UnfitModel("there is no version beside it that Triton could import", f"put model.py into {folder / '1'}")


def _type(config: ModelConfig, number: int) -> str:
    return str(config.DESCRIPTOR.file.enum_types_by_name["DataType"].values_by_number[number].name)


def _kind(config: ModelConfig, number: int) -> str:
    kinds = config.DESCRIPTOR.file.message_types_by_name["ModelInstanceGroup"].enum_types_by_name["Kind"]
    return str(kinds.values_by_number[number].name)


def _serves(config: ModelConfig, spec: RoleSpec, texts: list[int], output_shape: list[int]) -> bool:
    """Returns whether the tensors fit the role. A dimension of -1 fits any number."""
    inputs = {each.name: (_type(config, each.data_type), list(each.dims)) for each in config.input}
    outputs = {each.name: (_type(config, each.data_type), list(each.dims)) for each in config.output}
    return (
        set(spec.inputs) <= set(inputs) <= {*spec.inputs, *spec.optional_inputs}
        and all(kind == "TYPE_STRING" and _fits(found, texts) for kind, found in inputs.values())
        and spec.output in outputs
        and outputs[spec.output][0] == config_type(spec.output_datatype)
        and _fits(outputs[spec.output][1], output_shape)
    )


def _fits(dims: list[int], expected: list[int]) -> bool:
    return len(dims) == len(expected) and all(
        -1 in {each, other} or each == other for each, other in zip(dims, expected, strict=True)
    )

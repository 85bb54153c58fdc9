"""Decides which models the gateway's own Triton serves, on which device, and with how many instances.

Models of unused roles are not loaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from controlplane.compile.plans import Device, ModelInstance, ModelPlan, TargetEnvironment
from controlplane.config.arch_config import ArchConfig
from controlplane.config.model_serving import LocalServing, Mode, ModelServing
from controlplane.errors import RuntimeFault, UsageError
from controlplane.models.catalog import Artefact, catalog
from controlplane.models.custom_model import CustomModel
from extproc.shared.roles import ROLES, Role

# Default maximum of processes of one model on a CPU, some 100 MB each.
_MAX_INSTANCES: Final = 4
_VLLM: Final = "vllm"
_LLAMA: Final = "llama.cpp"


def compile_models(
    config: ArchConfig, environment: TargetEnvironment, local: Iterable[Role], custom: Sequence[CustomModel] = ()
) -> ModelPlan:
    """Returns the plan. `local`: roles that run on this machine. `custom`: the user's own models, at most one per role.

    Raises UsageError if a role has no default model and the file names none. Raises RuntimeFault if the named model
    cannot run on this machine.
    """
    by_role = {model.role: model for model in custom}
    roles = tuple(local)
    for model in custom:
        if model.role in roles and model.on_gpu and (environment.gpu is None or environment.mode is Mode.LOCAL_CPU):
            raise RuntimeFault(
                f"{model.folder / 'config.pbtxt'} has KIND_GPU, but models run on the CPU here: write "
                "KIND_CPU there, or run archgw up --local on a machine with a GPU"
            )
    return ModelPlan(
        models=tuple(_instance(role, config.model_serving, environment) for role in roles if role not in by_role),
        custom=tuple(by_role[role] for role in roles if role in by_role),
    )


def artefacts(instance: ModelInstance) -> tuple[str, ...]:
    """Returns the catalogue entries that a model is made of."""
    return catalog().made_of(instance.role, instance.artefact, gpu=instance.device is Device.GPU)


def _instance(role: Role, serving: ModelServing, environment: TargetEnvironment) -> ModelInstance:
    artefact, device = _artefact_and_device(role, serving.role_settings(role).model, environment)
    if ROLES[role].is_decoupled:
        # Decoupled: one request, many responses, so Triton must not batch.
        return ModelInstance(role, role, instances=1, max_batch_size=0, artefact=artefact, device=device)
    if not ROLES[role].is_batched:
        engine = catalog().artefacts[artefact].engine if artefact is not None else None
        return ModelInstance(
            role,
            role,
            instances=1,
            max_batch_size=1,
            artefact=artefact,
            device=device,
            # This model runs after the models that read the prompt, so all cores are free.
            threads=environment.workers if engine == _LLAMA else 1,
            behind=f"{role}_vllm" if engine == _VLLM else None,
        )
    # This model reads every prompt and shares the cores. It reads the texts of one request one after the other, so that
    # their number bounds the wait of the next request.
    local = serving.local
    instances = _instances(local, device, environment)
    # The gateway's own guard has threads for long texts on a CPU. On a GPU it reads long texts in batches.
    has_background = ROLES[role].guard is not None and artefact is None and device is Device.CPU
    return ModelInstance(
        role,
        role,
        instances=instances,
        max_batch_size=local.max_batch_size,
        artefact=artefact,
        device=device,
        threads=local.threads,
        max_queue_delay_us=local.max_queue_delay,
        background=-(-environment.workers // instances) if has_background else 0,
    )


def _instances(local: LocalServing, device: Device, environment: TargetEnvironment) -> int:
    if local.instances is not None:
        return local.instances
    # A GPU runs one batch at a time, and a second process would need the model's memory again.
    return 1 if device is Device.GPU else min(_MAX_INSTANCES, max(1, environment.workers // 2))


def _artefact_and_device(role: Role, model: str | None, environment: TargetEnvironment) -> tuple[str | None, Device]:
    """Returns the catalogue entry (None: the role's default entries) and the device."""
    entries = catalog()
    gpu = environment.gpu is not None and environment.mode is not Mode.LOCAL_CPU
    if model is None:
        if not (names := entries.default(role)):
            raise UsageError(f"{role} runs on this machine, and the gateway brings no model for it; {_way_out(role)}")
        on_gpu = gpu and all(_runs_on(Device.GPU, entries.artefacts[name]) for name in names)
        return None, Device.GPU if on_gpu else Device.CPU
    if model not in entries.choices(role):
        raise UsageError(
            f"model_serving.roles.{role}.model: {role} runs on this machine, which has no model {model}; "
            f"{_way_out(role)}"
        )
    artefact = entries.artefacts[model]
    if gpu and _runs_on(Device.GPU, artefact):
        if artefact.engine != _VLLM or environment.vllm:
            return model, Device.GPU
        if environment.mode is Mode.LOCAL_GPU:
            raise RuntimeFault(
                f"{model} runs on a GPU by Triton's vLLM backend, which this Triton does not have: add it as "
                f"docs/operations.md says, or name another model in model_serving.roles.{role}.model"
            )
    if _runs_on(Device.CPU, artefact):
        return model, Device.CPU
    if artefact.cpu is not None:
        return artefact.cpu, Device.CPU
    raise UsageError(f"model_serving.roles.{role}.model: {model} runs only on a GPU; {_way_out(role)}")


def _runs_on(device: Device, artefact: Artefact) -> bool:
    return device in artefact.devices


def _way_out(role: Role) -> str:
    choices = ", ".join(catalog().choices(role)) or "none"
    return (
        f"name one as model_serving.roles.{role}.model (the catalogue has: {choices}; or a folder of "
        f"model_serving.local.repository), or write `placement: remote`"
    )

"""Compiles the filter configuration's models: their servers, backends and deadlines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypedDict

from controlplane.compile.model_plan import artefacts
from controlplane.compile.plans import Device, ModelPlan, RoleLocation, TargetEnvironment
from controlplane.compile.remote_triton import CLUSTER, protocol
from controlplane.config.arch_config import ArchConfig
from controlplane.models.catalog import catalog
from extproc.shared import filter_config
from extproc.shared.filter_config import Place
from extproc.shared.roles import ROLES, Purpose, Role, roles_of

# Limits of a model on a CPU. _CALL_BYTES: text in one call, a chunk of a long text. _CALLS: concurrent calls of one
# worker for each process of the model, so that no process is idle. _BULK_BYTES: a request with more text is a long one.
_CALL_BYTES: Final = 700
_CALLS: Final = 4
_BULK_BYTES: Final = 900
# Maximum number of texts in one request to a remote model. The model's own limit may be lower.
_MAX_TEXTS: Final = 64

Places = Mapping[Role, tuple[Place, ...]]


def compile_inference(
    config: ArchConfig, environment: TargetEnvironment, places: Places, models: ModelPlan
) -> filter_config.Inference | None:
    """Returns the servers, roles and deadlines; None if no role is used."""
    if not places:
        return None
    roles = {role: _role_backends(role, its, config, models) for role, its in places.items()}
    long_texts = config.overrides.long_texts
    reading_ms = long_texts.timeout
    return filter_config.Inference(
        servers=_servers(config, environment, places),
        roles=roles,
        models_timeout_ms=_models_timeout_ms(roles, reading_ms),
        reading_ms=reading_ms,
        whole_bytes=long_texts.whole,
        read_share=long_texts.share,
    )


def role_locations(
    config: ArchConfig, environment: TargetEnvironment, places: Places, models: ModelPlan
) -> tuple[RoleLocation, ...]:
    """Returns the model and the location of each role and place, for people."""
    locations = []
    for role, role_places in places.items():
        for place in role_places:
            if place is Place.LOCAL:
                locations.append(_local_location(role, environment, models))
            else:
                assert config.model_serving.remote is not None  # noqa: S101  without one, no place is remote
                urls = ", ".join(str(url) for url in config.model_serving.remote.url)
                locations.append(
                    RoleLocation(role, place, config.model_serving.role_settings(role).model or role, urls)
                )
    return tuple(locations)


def _local_location(role: Role, environment: TargetEnvironment, models: ModelPlan) -> RoleLocation:
    custom = next((model for model in models.custom if model.role == role), None)
    if custom is not None:
        name, on_gpu = custom.name, custom.on_gpu
    else:
        instance = next(model for model in models.models if model.role == role)
        name, on_gpu = " + ".join(artefacts(instance)), instance.device is Device.GPU
    return RoleLocation(role, Place.LOCAL, name, environment.gpu if on_gpu and environment.gpu is not None else "CPU")


def _servers(config: ArchConfig, environment: TargetEnvironment, places: Places) -> dict[Place, filter_config.Server]:
    used = {place for role_places in places.values() for place in role_places}
    servers = {}
    if Place.LOCAL in used:
        servers[Place.LOCAL] = filter_config.Server(
            address=f"unix:{environment.triton.grpc}", reload_lock=environment.reload_lock
        )
    if Place.REMOTE in used:
        servers[Place.REMOTE] = filter_config.Server(
            address=f"unix:{environment.internal_socket}", protocol=protocol(config), upstream=CLUSTER
        )
    return servers


def _role_backends(
    role: Role, places: tuple[Place, ...], config: ArchConfig, models: ModelPlan
) -> filter_config.RoleBackends:
    entry = config.model_serving.role_settings(role)
    backends = []
    for place in places:
        if place is Place.LOCAL:
            backends.append(_local_backend(role, models))
        else:
            most = _MAX_TEXTS if ROLES[role].is_batched else 1
            backends.append(filter_config.Backend(place=place, model=entry.model or str(role), max_batch=most))
    return filter_config.RoleBackends(backends=tuple(backends), timeout_ms=entry.timeout or ROLES[role].timeout_ms)


def _local_backend(role: Role, models: ModelPlan) -> filter_config.Backend:
    """Returns the backend of a local model. On a CPU, calls are small and few: the next request waits for them."""
    custom = next((model for model in models.custom if model.role == role), None)
    if custom is not None:
        sizes = _GPU_SIZES if custom.on_gpu else _cpu_sizes(instances=1, background=0)
        return filter_config.Backend(place=Place.LOCAL, model=custom.name, max_batch=custom.max_batch, **sizes)
    instance = next(model for model in models.models if model.role == role)
    sizes = _GPU_SIZES if instance.device is Device.GPU else _cpu_sizes(instance.instances, instance.background)
    most = max(1, instance.max_batch_size)
    is_guard = ROLES[role].guard is not None
    scripts = catalog().scripts(role, instance.artefact, gpu=instance.device is Device.GPU) if is_guard else ()
    return filter_config.Backend(place=Place.LOCAL, model=instance.name, max_batch=most, scripts=scripts, **sizes)


class _Sizes(TypedDict, total=False):
    call_bytes: int
    calls: int
    bulk_calls: int
    bulk_bytes: int
    background: bool


# Empty: the filter configuration's defaults are for models that read many texts at once.
_GPU_SIZES: Final[_Sizes] = {}


def _cpu_sizes(instances: int, background: int) -> _Sizes:
    return {
        "call_bytes": _CALL_BYTES,
        "calls": _CALLS * instances,
        "bulk_calls": max(1, background * instances),
        "bulk_bytes": _BULK_BYTES,
        "background": background > 0,
    }


def _models_timeout_ms(roles: Mapping[Role, filter_config.RoleBackends], reading_ms: int) -> int:
    """Returns the maximum time of all model calls for one prompt, with one attempt at each place.

    Guards and intent models run at the same time, then the function model.
    """
    longest = {role: served.timeout_ms * len(served.backends) for role, served in roles.items()}
    guards = max((max(longest[role], reading_ms) for role in roles_of(Purpose.GUARD) if role in longest), default=0)
    intent = sum(longest.get(role, 0) for role in roles_of(Purpose.INTENT))
    return max(guards, intent) + sum(longest.get(role, 0) for role in roles_of(Purpose.TOOL_SELECTION))

"""What the filter is told of the models: who serves them, at which places, and how long each may take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from controlplane.compile.models import artefacts
from controlplane.compile.placements import GUARD_ROLES
from controlplane.compile.plans import Device, ModelPlan, RolePlace, Site
from controlplane.compile.remote import CLUSTER, protocol
from controlplane.config.arch import ArchConfig
from extproc import contract
from extproc.contract import Place, Role

# Deadlines of one model call. The guards read long prompts in windows, the function model decodes tokens.
TIMEOUTS_MS: Final[Mapping[Role, int]] = {
    Role.EMBED: 5_000,
    Role.NLI: 5_000,
    Role.GUARD: 10_000,
    Role.TOXICITY: 10_000,
    Role.FUNCTION: 20_000,
    Role.CHAT: 30_000,
}
# How many texts one request to a remote model may carry, where the model itself takes as many.
_MOST_TEXTS: Final = 64

Places = Mapping[Role, tuple[Place, ...]]


def compile_inference(config: ArchConfig, site: Site, places: Places, models: ModelPlan) -> contract.Inference | None:
    """None where nothing asks a model."""
    if not places:
        return None
    roles = {role: _served(role, its, config, models) for role, its in places.items()}
    return contract.Inference(servers=_servers(config, site, places), roles=roles, budget_ms=_budget_ms(roles))


def role_places(config: ArchConfig, site: Site, places: Places, models: ModelPlan) -> tuple[RolePlace, ...]:
    """The same for people: which model, and where it runs."""
    found = []
    for role, its in places.items():
        for place in its:
            if place is Place.LOCAL:
                found.append(_local_place(role, site, models))
            else:
                assert config.model_serving.remote is not None  # noqa: S101  without one, no place is remote
                urls = ", ".join(str(url) for url in config.model_serving.remote.url)
                found.append(RolePlace(role, place, config.model_serving.of(role).model or role, urls))
    return tuple(found)


def _local_place(role: Role, site: Site, models: ModelPlan) -> RolePlace:
    own = next((model for model in models.own if model.role == role), None)
    if own is not None:
        name, on_gpu = own.name, own.on_gpu
    else:
        instance = next(model for model in models.models if model.role == role)
        name, on_gpu = " + ".join(artefacts(instance)), instance.device is Device.GPU
    return RolePlace(role, Place.LOCAL, name, site.gpu if on_gpu and site.gpu is not None else "CPU")


def _servers(config: ArchConfig, site: Site, places: Places) -> dict[Place, contract.Server]:
    used = {place for its in places.values() for place in its}
    servers = {}
    if Place.LOCAL in used:
        servers[Place.LOCAL] = contract.Server(address=f"unix:{site.triton.grpc}", repair_lock=site.repair_lock)
    if Place.REMOTE in used:
        servers[Place.REMOTE] = contract.Server(
            address=f"unix:{site.internal_socket}", protocol=protocol(config), upstream=CLUSTER
        )
    return servers


def _served(role: Role, places: tuple[Place, ...], config: ArchConfig, models: ModelPlan) -> contract.Served:
    entry = config.model_serving.of(role)
    here = {
        **{model.role: (model.name, max(1, model.max_batch_size)) for model in models.models},
        **{model.role: (model.name, model.max_batch) for model in models.own},
    }
    there = (entry.model or str(role), 1 if role is Role.FUNCTION else _MOST_TEXTS)
    placements = []
    for place in places:
        model, most = here[role] if place is Place.LOCAL else there
        placements.append(contract.Placement(place=place, model=model, max_batch=most))
    return contract.Served(placements=tuple(placements), timeout_ms=entry.timeout or TIMEOUTS_MS[role])


def _budget_ms(roles: Mapping[Role, contract.Served]) -> int:
    """How long the models of one prompt may take, with an attempt at each place.

    The guards are asked beside those of the intent, the function model after them.
    """
    longest = {role: served.timeout_ms * len(served.placements) for role, served in roles.items()}
    guards = max((longest.get(role, 0) for role in GUARD_ROLES.values()), default=0)
    intent = longest.get(Role.EMBED, 0) + longest.get(Role.NLI, 0)
    return max(guards, intent) + longest.get(Role.FUNCTION, 0)

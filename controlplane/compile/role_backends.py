"""Decides which roles a gateway uses, and where each runs. The file decides, else the command's mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controlplane.config.arch_config import ArchConfig
from controlplane.config.model_serving import Mode
from controlplane.config.model_serving_checks import REMOTE_EXAMPLE
from controlplane.config.vendors import TRITON
from controlplane.errors import UsageError
from extproc.shared import filter_config
from extproc.shared.filter_config import Place
from extproc.shared.roles import ROLES, Purpose, Role, RoleSpec


def guarded_listeners(config: ArchConfig) -> tuple[filter_config.Listener, ...]:
    """Returns the enabled listeners whose requests the guards read."""
    guarded = config.prompt_guards.apply_to
    return tuple(each for each in filter_config.Listener if each in guarded and config.listeners.is_enabled(each))


def role_backends(config: ArchConfig, mode: Mode) -> Mapping[Role, tuple[Place, ...]]:
    """Returns the places of each used role, the preferred one first.

    Raises UsageError if a role runs on the remote Triton and the file names none.
    """
    serving = config.model_serving
    places = {role: serving.places(role, mode) for role in _used_roles(config)}
    remote = [str(role) for role, role_places in places.items() if Place.REMOTE in role_places]
    if remote and serving.remote is None:
        raise UsageError(
            f"`archgw up` needs a remote Triton for {' and '.join(remote)}; the configuration names none: it has no "
            f"model_serving.remote.url. For example:\n\n    model_serving:\n      {REMOTE_EXAMPLE}\n\n"
            "To run all models on this machine: archgw up --local -cpu"
        )
    return places


def _used_roles(config: ArchConfig) -> Iterator[Role]:
    for role, spec in ROLES.items():
        if _is_used(role, spec, config):
            yield role


def _is_used(role: Role, spec: RoleSpec, config: ArchConfig) -> bool:
    if spec.guard is not None:
        return spec.guard.name in config.prompt_guards.input_guards.on and bool(guarded_listeners(config))
    if spec.purpose is Purpose.LLM:
        return any(provider.provider == TRITON for provider in config.llm_providers)
    is_available = spec.has_default_model or role in config.model_serving.roles.configured
    return config.listeners.ingress.enabled and is_available

"""Decides which roles a gateway uses, and where each runs: as the file says, else by the command's mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from controlplane.config.arch_config import ArchConfig
from controlplane.config.model_serving import Mode
from controlplane.config.model_serving_checks import REMOTE_EXAMPLE
from controlplane.config.vendors import TRITON
from controlplane.errors import UsageError
from extproc.shared import filter_config
from extproc.shared.filter_config import Place, Role

# The role that each guard asks.
GUARD_ROLES: Final[Mapping[str, Role]] = {"jailbreak": Role.GUARD, "toxicity": Role.TOXICITY}


def guarded_listeners(config: ArchConfig) -> tuple[filter_config.Listener, ...]:
    """Returns the enabled listeners whose requests the guards read."""
    guarded = config.prompt_guards.apply_to
    return tuple(each for each in filter_config.Listener if each in guarded and config.listeners.is_enabled(each))


def role_backends(config: ArchConfig, mode: Mode) -> Mapping[Role, tuple[Place, ...]]:
    """Returns the places of each used role, the preferred one first.

    Raises UsageError where a place is the remote Triton, and the file names none.
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
    ingress = config.listeners.ingress.enabled
    guards = (
        {GUARD_ROLES[name] for name in config.prompt_guards.input_guards.on} if guarded_listeners(config) else set()
    )
    if ingress:
        yield Role.EMBED
    if ingress and Role.NLI in config.model_serving.roles.given:
        yield Role.NLI
    yield from (role for role in GUARD_ROLES.values() if role in guards)
    if ingress:
        yield Role.FUNCTION
    if any(provider.provider == TRITON for provider in config.llm_providers):
        yield Role.CHAT

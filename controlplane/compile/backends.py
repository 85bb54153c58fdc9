"""Which roles a gateway asks, and where: the command's mode, and what the file says of a role before that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from controlplane.compile.plans import Mode
from controlplane.config.arch import ArchConfig
from controlplane.config.serving_checks import REMOTE_EXAMPLE
from controlplane.config.vendors import TRITON
from controlplane.errors import UsageError
from extproc.shared import filter_config
from extproc.shared.filter_config import Place, Role

# The role that each guard asks.
GUARD_ROLES: Final[Mapping[str, Role]] = {"jailbreak": Role.GUARD, "toxicity": Role.TOXICITY}


def guarded(config: ArchConfig) -> tuple[filter_config.Listener, ...]:
    """The listeners that are on and whose requests the guards read."""
    listeners = {
        filter_config.Listener.INGRESS: config.listeners.ingress.enabled,
        filter_config.Listener.EGRESS: config.listeners.egress.enabled,
    }
    return tuple(name for name, on in listeners.items() if on and name in config.prompt_guards.apply_to)


def backends(config: ArchConfig, mode: Mode) -> Mapping[Role, tuple[Place, ...]]:
    """Where each role that something asks has its places, the preferred one first.

    UsageError where a place is the remote Triton, and the file names none.
    """
    serving = config.model_serving
    places = {role: serving.places(role, mode) for role in _asked(config)}
    remote = [str(role) for role, its in places.items() if Place.REMOTE in its]
    if remote and serving.remote is None:
        raise UsageError(
            f"`archgw up` asks a remote Triton for {' and '.join(remote)}, and the configuration names none: it has no "
            f"model_serving.remote.url. For example:\n\n    model_serving:\n      {REMOTE_EXAMPLE}\n\n"
            "To run all models on this machine: archgw up --local -cpu"
        )
    return places


def _asked(config: ArchConfig) -> Iterator[Role]:
    ingress = config.listeners.ingress.enabled
    guards = {GUARD_ROLES[name] for name in config.prompt_guards.input_guards.on} if guarded(config) else set()
    if ingress:
        yield Role.EMBED
    if ingress and Role.NLI in config.model_serving.roles.given:
        yield Role.NLI
    yield from (role for role in GUARD_ROLES.values() if role in guards)
    if ingress:
        yield Role.FUNCTION
    if any(provider.provider == TRITON for provider in config.llm_providers):
        yield Role.CHAT

"""Which roles a gateway asks, and where: the command's mode, and what the file says of a role before that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from controlplane.compile.plans import Mode
from controlplane.config.arch import ArchConfig
from controlplane.config.providers import TRITON
from controlplane.config.serving_checks import REMOTE_EXAMPLE
from controlplane.errors import UsageError
from extproc.shared import filter_config
from extproc.shared.filter_config import Place
from extproc.shared.roles import ROLES, Purpose, Role, RoleSpec


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
    for role, spec in ROLES.items():
        if _is_asked(role, spec, config):
            yield role


def _is_asked(role: Role, spec: RoleSpec, config: ArchConfig) -> bool:
    if spec.guard is not None:
        return spec.guard.name in config.prompt_guards.input_guards.on and bool(guarded(config))
    if spec.purpose is Purpose.LLM:
        return any(provider.provider == TRITON for provider in config.llm_providers)
    is_available = spec.has_default_model or role in config.model_serving.roles.given
    return config.listeners.ingress.enabled and is_available

"""Which models Triton serves, and what the filter is told of them. A model that nothing asks is not loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from controlplane.compile.plans import ModelInstance, ModelPlan, OwnModel, Site
from controlplane.config.arch import ArchConfig
from controlplane.config.providers import TRITON
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
# The role that each guard asks.
GUARD_ROLES: Final[Mapping[str, Role]] = {"jailbreak": Role.GUARD, "toxicity": Role.TOXICITY}

# How many texts one request to a model that reads every prompt may carry: a request's texts are read one after the
# other, so this bounds what a request behind it waits for.
MOST_TEXTS: Final = 64
# Processes of one model that reads every prompt, some 100 MB each.
_MOST_READERS: Final = 4

_LOOPBACK: Final = "127.0.0.1"
# The name that Triton serves the chat model under is also a value of `llm_providers[].model`.
_CHAT: Final = "chat"


def guarded(config: ArchConfig) -> tuple[contract.Listener, ...]:
    """The listeners that are on and whose requests the guards read."""
    listeners = {
        contract.Listener.INGRESS: config.listeners.ingress.enabled,
        contract.Listener.EGRESS: config.listeners.egress.enabled,
    }
    return tuple(name for name, on in listeners.items() if on and name in config.prompt_guards.apply_to)


def compile_models(config: ArchConfig, site: Site, own: Sequence[OwnModel]) -> ModelPlan:
    """`own`: the models of the user's own that the file names, one a role."""
    guards = {GUARD_ROLES[name] for name in config.prompt_guards.input_guards.on} if guarded(config) else set()
    models: tuple[ModelInstance, ...] = ()
    # Each instance is a process with one thread at work. Every prompt goes through both, so they share the cores.
    readers = min(_MOST_READERS, max(1, site.workers // 2))
    if config.listeners.ingress.enabled:
        models = (ModelInstance("embed", "embed", instances=readers, max_batch_size=MOST_TEXTS),)
    if Role.GUARD in guards:
        models = (*models, ModelInstance("guard", "guard", instances=readers, max_batch_size=MOST_TEXTS))
    if config.listeners.ingress.enabled:
        models = (*models, ModelInstance("function", "function", instances=1, max_batch_size=1))
    if any(provider.provider == TRITON for provider in config.llm_providers):
        # Decoupled: one request, many responses, so Triton must not batch.
        models = (*models, ModelInstance(_CHAT, _CHAT, instances=1, max_batch_size=0))
    asked = guards | ({Role.NLI} if config.listeners.ingress.enabled else set())
    given = {model.role: model for model in own}
    wanted = [role for role in config.model_serving.roles.named if role in asked]
    return ModelPlan(ports=site.triton, models=models, own=tuple(given[role] for role in wanted))


def inference(plan: ModelPlan, site: Site) -> contract.Inference | None:
    """What the filter asks, and watches over, is what Triton serves."""
    models = {
        **{Role(model.role): (model.name, max(1, model.max_batch_size)) for model in plan.models},
        **{Role(model.role): (model.name, model.max_batch) for model in plan.own},
    }
    if not models:
        return None
    server = contract.Server(address=f"{_LOOPBACK}:{site.triton.grpc}", repair_lock=site.repair_lock)
    return contract.Inference(
        servers={Place.LOCAL: server},
        roles={
            role: contract.Served(
                placements=(contract.Placement(place=Place.LOCAL, model=name, max_batch=most),),
                timeout_ms=TIMEOUTS_MS[role],
            )
            for role, (name, most) in models.items()
        },
        budget_ms=_budget_ms({role: TIMEOUTS_MS[role] for role in models}),
    )


def _budget_ms(timeouts: Mapping[Role, int]) -> int:
    """How long the models of one prompt may take: the guards beside those of the intent, then the function model."""
    guards = max((timeouts.get(role, 0) for role in GUARD_ROLES.values()), default=0)
    intent = timeouts.get(Role.EMBED, 0) + timeouts.get(Role.NLI, 0)
    return max(guards, intent) + timeouts.get(Role.FUNCTION, 0)

"""Compiles the filter configuration's prompting: targets, intent, grounding, guards."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from controlplane.compile.api_calls import target_call
from controlplane.compile.role_backends import guarded_listeners
from controlplane.config.arch_config import ArchConfig
from controlplane.config.parameters import Items, Parameter, format_of
from controlplane.config.prompt_guards import Guard
from controlplane.config.prompt_targets import PromptTarget
from extproc.shared import filter_config
from extproc.shared.filter_config import Listener, TextRole
from extproc.shared.roles import GUARD_ROLES, ROLES

# A prompt with a lower score matches no target. Measured on the development half of BFCL's live part (in parentheses:
# on MetaTool's development tools, which overlap): .96 (.85) of the prompts for a target pass, .13 (.28) of the requests
# for other tools, .07 (.02) of other texts. Recall matters more: the function model rejects the rest.
INTENT_THRESHOLD: Final = 0.15
# Score under which the conversation does not support an argument (docs/quality.md).
GROUNDING_THRESHOLD: Final = 0.5
# Default scopes of guards. Anybody may be a client of ingress. Clients of egress are the team's own applications, whose
# frameworks write system messages and tool definitions; third parties write the rest.
_SCOPES: Final[Mapping[Listener, tuple[TextRole, ...]]] = {
    Listener.INGRESS: tuple(TextRole),
    Listener.EGRESS: (TextRole.USER, TextRole.TOOL, TextRole.DOCUMENT),
}
# A system message of a client of ingress is a user's: it may claim to be the operator's.
_READ_AS_USER: Final[Mapping[Listener, tuple[TextRole, ...]]] = {
    Listener.INGRESS: (TextRole.SYSTEM,),
    Listener.EGRESS: (),
}


def compile_prompting(config: ArchConfig) -> filter_config.Prompting:
    grounding = config.overrides.grounding
    threshold = GROUNDING_THRESHOLD if grounding.threshold is None else grounding.threshold
    return filter_config.Prompting(
        intent=_intent(config),
        grounding=filter_config.Grounding(threshold=threshold) if grounding.enabled else None,
        targets=tuple(_target(target) for target in config.prompt_targets if not target.default),
        default_target=next((_target(target) for target in config.prompt_targets if target.default), None),
        system_prompt=config.system_prompt,
        stream_tool_chunks=config.overrides.stream_tool_chunks,
    )


def compile_guards(config: ArchConfig) -> dict[Listener, tuple[filter_config.Guard, ...]]:
    """Returns the guards of each guarded listener."""
    guards = config.prompt_guards.input_guards.on.items()
    return {
        listener: tuple(_guard(name, guard, listener) for name, guard in guards)
        for listener in guarded_listeners(config)
        if guards
    }


def _guard(name: str, guard: Guard, listener: Listener) -> filter_config.Guard:
    role = GUARD_ROLES[name]
    defaults = ROLES[role].guard
    assert defaults is not None  # noqa: S101  every role of GUARD_ROLES has one
    return filter_config.Guard(
        name=name,
        role=role,
        threshold=guard.threshold,
        message=guard.on_exception.message or defaults.message,
        on_error=guard.on_error,
        mode=guard.mode,
        scope=_SCOPES[listener] if guard.scope is None else guard.scope,
        read_as_user=_READ_AS_USER[listener],
        on_unreadable=guard.on_unreadable,
        status=guard.on_exception.status,
        forward_to_error_target=guard.on_exception.forward_to_error_target,
    )


def _intent(config: ArchConfig) -> filter_config.Intent:
    override = config.overrides.prompt_target_intent_matching_threshold
    threshold = INTENT_THRESHOLD if override is None else override
    weights = config.overrides.intent_weights
    if weights is None:
        return filter_config.Intent(threshold=threshold)
    return filter_config.Intent(threshold=threshold, nli_weight=weights.nli, embedding_weight=weights.embedding)


def _target(target: PromptTarget) -> filter_config.Target:
    return filter_config.Target(
        name=target.name,
        description=target.description,
        call=target_call(target),
        examples=target.examples,
        parameters=tuple(_parameter(parameter) for parameter in target.parameters),
        system_prompt=target.system_prompt,
        auto_llm_dispatch=target.dispatches_to_llm,
    )


def _parameter(parameter: Parameter) -> filter_config.Parameter:
    return filter_config.Parameter(
        name=parameter.name,
        type=parameter.type.type,
        description=parameter.description,
        required=parameter.required,
        default_json=json.dumps(parameter.default, ensure_ascii=False) if parameter.has_default else None,
        enum=parameter.enum,
        format=format_of(parameter),
        items=_items(parameter.items) if parameter.items else None,
    )


def _items(items: Items) -> filter_config.Items:
    return filter_config.Items(type=items.type.type, enum=items.enum, format=format_of(items))

"""Checks guards, the error target and overrides against each other and against the models."""

from __future__ import annotations

import math

from controlplane.config.arch_config import ArchConfig
from controlplane.config.check_report import CheckReport
from controlplane.config.prompt_guards import Guard
from controlplane.config.url_paths import placeholders
from controlplane.config.yaml_tree import Loc
from controlplane.models.catalog import catalog
from extproc.shared.filter_config import FailMode, GuardMode
from extproc.shared.roles import GUARD_ROLES, ROLES, Role


def check_pipeline(config: ArchConfig, report: CheckReport) -> None:
    _check_guards(config, report)
    _check_error_target(config, report)
    _check_overrides(config, report)


def _check_guards(config: ArchConfig, report: CheckReport) -> None:
    section = config.prompt_guards
    if not section.apply_to:
        report.fault(("prompt_guards", "apply_to"), "apply_to names no listener", "write [ingress, egress], or one")
    if len(set(section.apply_to)) < len(section.apply_to):
        report.fault(("prompt_guards", "apply_to"), "apply_to names a listener twice", "keep one")
    if "apply_to" in section.model_fields_set:
        for index, listener in enumerate(section.apply_to):
            if not config.listeners.is_enabled(listener):
                report.warning(
                    ("prompt_guards", "apply_to", index), f"{listener} is ignored: that listener is off", "remove it"
                )
        if not section.input_guards.on:
            report.warning(("prompt_guards", "apply_to"), "apply_to is ignored: there is no guard", "add one")
    for name, guard in section.input_guards.on.items():
        role = GUARD_ROLES[name]
        _check_guard(guard, role, ("prompt_guards", "input_guards", name), config, report)
        if not ROLES[role].has_default_model and not _has_model(role, config, report):
            report.fault_at_key(
                ("prompt_guards", "input_guards", name),
                f"the guard {name} needs a model of your own: the gateway brings none for it",
                f"name one in model_serving.roles.{role}.model, or a remote Triton that serves it, or remove the guard",
            )


def _check_guard(guard: Guard, role: Role, loc: Loc, config: ArchConfig, report: CheckReport) -> None:
    if guard.scope is not None and not guard.scope:
        report.fault((*loc, "scope"), "scope names no role", "write [user], or more roles of texts")
    if guard.scope is not None and len(set(guard.scope)) < len(guard.scope):
        report.fault((*loc, "scope"), "scope names a role twice", "keep one")
    if guard.on_unreadable is FailMode.BLOCK and not _declares_scripts(role, config):
        report.warning(
            (*loc, "on_unreadable"),
            "on_unreadable is ignored: the catalogue does not say which scripts the guard's model reads",
            "add `scripts` to its entry in your catalogue, or remove the key",
        )
    has_error_target = config.error_target is not None or report.is_faulty("error_target")
    if guard.on_exception.forward_to_error_target and not has_error_target:
        report.fault(
            (*loc, "on_exception", "forward_to_error_target"),
            "there is no error_target to forward to",
            "add `error_target: {endpoint: ..., path: ...}`",
        )
    if guard.mode is GuardMode.SHADOW:
        for key in ("on_error", "on_exception"):
            if key in guard.model_fields_set:
                report.warning((*loc, key), f"{key} is ignored: the guard only watches, with mode: shadow")


def _declares_scripts(role: Role, config: ArchConfig) -> bool:
    """Returns whether a local model of `role` has `scripts` in the catalogue."""
    model = config.model_serving.role_settings(role).model
    entries = catalog()
    is_listed = model is None or model in entries.artefacts
    return config.model_serving.is_ever_local(role) and is_listed and bool(entries.scripts(role, model, gpu=False))


def _has_model(role: Role, config: ArchConfig, report: CheckReport) -> bool:
    """Returns whether the file provides a model for `role`, which has no default model. Does not check that model."""
    serving = config.model_serving
    is_configured = role in serving.roles.configured or not serving.is_always_local(role)
    return is_configured or report.is_faulty("model_serving")


def _check_error_target(config: ArchConfig, report: CheckReport) -> None:
    target = config.error_target
    if target is None:
        return
    report.check_endpoint(target.endpoint, ("error_target", "endpoint"))
    if placeholders(target.path):
        report.fault(("error_target", "path"), "the error target has no arguments to fill its path with")
    forwarded = any(
        guard.on_exception.forward_to_error_target for guard in config.prompt_guards.input_guards.on.values()
    )
    if not config.prompt_targets and not forwarded:
        report.warning(
            ("error_target",),
            "error_target is ignored: there is no prompt target, and no guard forwards to it",
            "remove it, or set forward_to_error_target",
        )


def _check_overrides(config: ArchConfig, report: CheckReport) -> None:
    overrides = config.overrides
    if not overrides.grounding.enabled and overrides.grounding.threshold is not None:
        report.warning(("overrides", "grounding", "threshold"), "threshold is ignored: grounding is off")
    weights = overrides.intent_weights
    if weights is None:
        return
    if not math.isclose(total := weights.nli + weights.embedding, 1, abs_tol=1e-6):
        report.fault_at_key(
            ("overrides", "intent_weights"),
            f"the weights add up to {total:g}, which must be 1",
            "such as {nli: 0.7, embedding: 0.3}",
        )
    if not _has_model(Role.NLI, config, report):
        report.fault_at_key(
            ("overrides", "intent_weights"),
            "intent_weights needs an NLI model: without one the score is the similarity of embeddings",
            "name one in model_serving.roles.nli.model, or remove the weights",
        )

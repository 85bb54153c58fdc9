"""Which LLM provider answers: the hint header, else the body's `model`, else the default."""

from __future__ import annotations

from collections.abc import Sequence

from extproc.contract import Provider
from extproc.errors import ModelNotFound

HINT = "x-arch-llm-provider-hint"


def choose(providers: Sequence[Provider], *, hint: str | None, model: str | None) -> Provider:
    """The provider that `hint` (a provider's name, its model, or "default") or `model` names, else the default one.

    Raises `ModelNotFound` when the hint names none, and when the model names none and there is no default.
    """
    default = next((provider for provider in providers if provider.default), None)
    if hint is not None:
        found = default if hint == "default" else _named(providers, hint)
        if found is None:
            raise ModelNotFound(f"`{HINT}` names no provider. {_valid(providers)}")
        return found
    found = (_named(providers, model) if model else None) or default
    if found is None:
        raise ModelNotFound(f"`model` names no provider, and none is the default. {_valid(providers)}")
    return found


def _named(providers: Sequence[Provider], name: str) -> Provider | None:
    """By name first; of several that share a model, the default one."""
    by_name = [provider for provider in providers if provider.name == name]
    by_model = [provider for provider in providers if provider.model == name]
    return next(iter(by_name), None) or next((p for p in by_model if p.default), None) or next(iter(by_model), None)


def _valid(providers: Sequence[Provider]) -> str:
    names = sorted({provider.name for provider in providers} | {provider.model for provider in providers})
    return f"Valid ones: {', '.join(names)}."

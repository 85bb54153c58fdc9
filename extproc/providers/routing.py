"""Which LLM provider answers: the hint header, else the body's `model`, else the default."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from extproc.decision import HttpRequest
from extproc.errors import ModelNotFound
from extproc.shared.filter_config import Provider, UnknownModel

HINT: Final = "x-arch-llm-provider-hint"

# Of a model's name that a client made up, what a log shows.
_LONGEST_SHOWN: Final = 64
_NOT_SHOWN: Final = re.compile(r"[^\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """The provider that answers. `notes`: fields of the access log, `unknown_model` where the client named another."""

    provider: Provider
    notes: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProviderRouter:
    """Every provider of a gateway. `unknown_model`: what becomes of a `model` that none of them has."""

    every: tuple[Provider, ...]
    unknown_model: UnknownModel = UnknownModel.DEFAULT

    def choose(self, request: HttpRequest, model: str | None) -> ProviderChoice:
        """The provider that the hint (a provider's name, its model, or "default") or `model` names, else the default.

        Raises `ModelNotFound` where the hint names none, and where the model names none and may not, or there is no
        default.
        """
        default = next((provider for provider in self.every if provider.default), None)
        hint = request.headers.get(HINT)
        if hint is not None:
            found = default if hint == "default" else _named(self.every, hint)
            if found is None:
                raise ModelNotFound(f"`{HINT}` names no provider. {_valid(self.every)}")
            return ProviderChoice(found, {})
        found = _named(self.every, model) if model else None
        if found is not None:
            return ProviderChoice(found, {})
        if default is None:
            raise ModelNotFound(f"`model` names no provider, and none is the default. {_valid(self.every)}")
        if not model:
            return ProviderChoice(default, {})
        if self.unknown_model is UnknownModel.ERROR:
            raise ModelNotFound(f"`model` names no provider. {_valid(self.every)}")
        return ProviderChoice(default, {"unknown_model": _shown(model)})


def _named(providers: Sequence[Provider], name: str) -> Provider | None:
    """By name first; of several that share a model, the default one."""
    by_name = [provider for provider in providers if provider.name == name]
    by_model = [provider for provider in providers if provider.model == name]
    return next(iter(by_name), None) or next((p for p in by_model if p.default), None) or next(iter(by_model), None)


def _valid(providers: Sequence[Provider]) -> str:
    names = sorted({provider.name for provider in providers} | {provider.model for provider in providers})
    return f"Valid ones: {', '.join(names)}."


def _shown(model: str) -> str:
    """A name from outside, for a log: bounded, and printable ASCII only."""
    return _NOT_SHOWN.sub("?", model[:_LONGEST_SHOWN])

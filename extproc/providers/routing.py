"""Chooses the LLM provider of a request: by the hint header, else by the body's `model`, else the default one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from extproc.decision import DynamicMetadata, HttpRequest
from extproc.errors import ModelNotFound
from extproc.shared.filter_config import Provider, UnknownModel

HINT: Final = "x-arch-llm-provider-hint"

# A client may invent any model name: a log shows at most so much of it.
_MAX_LOGGED_CHARS: Final = 64
_NOT_LOGGED: Final = re.compile(r"[^\x21-\x7e]+")


@dataclass(frozen=True, slots=True)
class ProviderChoice:
    """`dynamic_metadata`: `unknown_model`, if the client named a model that no provider has."""

    provider: Provider
    dynamic_metadata: DynamicMetadata


@dataclass(frozen=True, slots=True)
class ProviderRouter:
    """All providers of a gateway. `unknown_model`: the treatment of a `model` that none of them has."""

    providers: tuple[Provider, ...]
    unknown_model: UnknownModel = UnknownModel.DEFAULT

    def choose(self, request: HttpRequest, model: str | None) -> ProviderChoice:
        """Returns the provider that the hint or `model` names, else the default.

        A hint is a provider's name, its model, or "default". Raises `ModelNotFound` if the hint names no provider, or
        if `model` names none and either unknown models are errors or there is no default.
        """
        default = next((provider for provider in self.providers if provider.default), None)
        hint = request.headers.get(HINT)
        if hint is not None:
            hinted = default if hint == "default" else _find(self.providers, hint)
            if hinted is None:
                raise ModelNotFound(f"`{HINT}` names no provider. {_valid_names(self.providers)}")
            return ProviderChoice(hinted, {})
        named = _find(self.providers, model) if model else None
        if named is not None:
            return ProviderChoice(named, {})
        if default is None:
            raise ModelNotFound(f"`model` names no provider, and none is the default. {_valid_names(self.providers)}")
        if not model:
            return ProviderChoice(default, {})
        if self.unknown_model is UnknownModel.ERROR:
            raise ModelNotFound(f"`model` names no provider. {_valid_names(self.providers)}")
        return ProviderChoice(default, {"unknown_model": _for_log(model)})


def _find(providers: Sequence[Provider], name: str) -> Provider | None:
    """Returns the provider of this name, else one of this model; of several with the model, the default one."""
    by_name = [provider for provider in providers if provider.name == name]
    by_model = [provider for provider in providers if provider.model == name]
    return next(iter(by_name), None) or next((p for p in by_model if p.default), None) or next(iter(by_model), None)


def _valid_names(providers: Sequence[Provider]) -> str:
    names = sorted({provider.name for provider in providers} | {provider.model for provider in providers})
    return f"Valid ones: {', '.join(names)}."


def _for_log(model: str) -> str:
    """Returns a name from outside cut to a bounded length, in printable ASCII."""
    return _NOT_LOGGED.sub("?", model[:_MAX_LOGGED_CHARS])

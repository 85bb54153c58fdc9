"""The egress listener: the team's own applications ask an LLM; the gateway chooses the provider."""

from __future__ import annotations

from dataclasses import dataclass

from extproc.apis import chat
from extproc.contract import Provider
from extproc.decision import Decision, HttpRequest
from extproc.providers import wire
from extproc.providers.choice import HINT, choose


@dataclass(frozen=True, slots=True)
class Egress:
    providers: tuple[Provider, ...]

    async def decide(self, request: HttpRequest) -> Decision:
        """Raises `GatewayError`."""
        asked = chat.parse(request.body)
        provider = choose(self.providers, hint=request.headers.get(HINT), model=asked.model)
        return wire.forward(asked, list(asked.messages), provider)

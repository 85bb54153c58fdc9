"""Stand-ins for what lies behind the pipeline's interfaces."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from extproc.apis.chat import Message
from extproc.contract import EndpointCall, HttpMethod, JsonValue, Parameter, Target
from extproc.errors import GatewayError
from extproc.inference.roles import Extraction, FloatVector, FunctionCall, Role, RoleUnavailable
from extproc.targets.http import Origin


def target(name: str, *parameters: Parameter, dispatch: bool = True, system_prompt: str | None = None) -> Target:
    call = EndpointCall(endpoint="api", cluster="endpoint_api", method=HttpMethod.POST, path=f"/{name}")
    return Target(
        name=name,
        description=f"about {name}",
        call=call,
        parameters=parameters,
        auto_llm_dispatch=dispatch,
        system_prompt=system_prompt,
    )


@dataclass
class FakeModels:
    """Each answer is settable; `down` roles are unavailable with the given reason; `asked` records what was asked."""

    attack: float = 0.0
    calls: tuple[FunctionCall, ...] = ()
    confidence: float = 0.9
    # The embedding of a text is the sum of the unit vectors of the words that it holds, normalised.
    words: tuple[str, ...] = ("weather", "money")
    down: dict[Role, str] = field(default_factory=dict)
    asked: list[Role] = field(default_factory=list)
    guard_gate: asyncio.Event | None = None
    embed_gate: asyncio.Event | None = None

    def _ask(self, role: Role) -> None:
        self.asked.append(role)
        if role in self.down:
            raise RoleUnavailable(role, self.down[role], "fake")

    async def embed(self, text: str) -> FloatVector:
        self._ask(Role.EMBED)
        if self.embed_gate:
            await self.embed_gate.wait()
        vector = np.array([float(word in text) for word in (*self.words, "")], dtype=np.float32)
        vector[-1] = 0.01
        return vector / np.linalg.norm(vector)

    async def attack_probability(self, text: str) -> float:
        self._ask(Role.GUARD)
        if self.guard_gate:
            await self.guard_gate.wait()
        return self.attack

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        self._ask(Role.FUNCTION)
        return Extraction(self.calls, self.confidence)


@dataclass
class FakeEndpoints:
    """Answers every call with `body`, or fails with `fault`."""

    body: bytes = b'{"temperature": 20}'
    fault: GatewayError | None = None
    calls: list[tuple[str, Mapping[str, JsonValue]]] = field(default_factory=list)

    async def call(
        self, call: EndpointCall, arguments: Mapping[str, JsonValue], messages: Sequence[Message], origin: Origin
    ) -> bytes:
        self.calls.append((call.path, arguments))
        if self.fault:
            raise self.fault
        return self.body

"""Stand-ins for what lies behind the pipeline's interfaces."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from extproc.conversation.messages import Message
from extproc.decision import Headers
from extproc.errors import GatewayError
from extproc.inference.interface import Embeddings, Extraction, FunctionCall, RoleUnavailable
from extproc.pipeline.intent import background
from extproc.shared.filter_config import EndpointCall, HttpMethod, JsonValue, Parameter, Target, TextRole
from extproc.shared.roles import Role
from extproc.shared.scripts import Script
from extproc.targets.api_client import ApiAnswer, Origin

_BACKGROUND = frozenset((*background.DESCRIPTIONS, *background.REQUESTS))


def target(name: str, *parameters: Parameter, dispatch: bool = True, system_prompt: str | None = None) -> Target:
    call = EndpointCall(endpoint="api", upstream="endpoint_api", method=HttpMethod.POST, path=f"/{name}")
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
    """Each answer is settable; `down` roles are unavailable with the given reason; `called_roles` records the calls."""

    attack: float = 0.0
    # Texts that hold it are attacks, whatever `attack` says.
    marker: str = ""
    calls: tuple[FunctionCall, ...] = ()
    confidence: float = 0.9
    # The embedding of a text is the sum of the unit vectors of the words that it holds, normalised.
    words: tuple[str, ...] = ("weather", "money")
    # The spaces in their order; those that are down, and those whose model knows other words.
    spaces: tuple[str, ...] = ("local",)
    spaces_down: set[str] = field(default_factory=set)
    words_of: dict[str, tuple[str, ...]] = field(default_factory=dict)
    # Of each call for embeddings the space that answered, and how many texts it was for.
    answered: list[str] = field(default_factory=list)
    embedded: list[int] = field(default_factory=list)
    # How likely every prompt entails these hypotheses; any other one is not entailed.
    entailment: dict[str, float] = field(default_factory=dict)
    down: dict[Role, str] = field(default_factory=dict)
    called_roles: list[Role] = field(default_factory=list)
    guard_gate: asyncio.Event | None = None
    embed_gate: asyncio.Event | None = None
    # Bytes of text of one request that a guard reads in time.
    readable: float | None = None
    # Scripts that a guard reads; empty: all.
    scripts: frozenset[Script] = frozenset()

    def readable_bytes(self, role: Role) -> float | None:
        del role
        return self.readable

    def _ask(self, role: Role) -> None:
        self.called_roles.append(role)
        if role in self.down:
            raise RoleUnavailable(role, self.down[role], "fake")

    async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
        self._ask(Role.EMBED)
        if self.embed_gate:
            await self.embed_gate.wait()
        requested = [space for space in self.spaces if spaces is None or space in spaces]
        space = next((space for space in requested if space not in self.spaces_down), None)
        if space is None:
            raise RoleUnavailable(Role.EMBED, "unreachable", "fake")
        self.answered.append(space)
        self.embedded.append(len(texts))
        rows = [[float(word in text) for word in self.words_of.get(space, self.words)] + [0.01] for text in texts]
        vectors = np.array(rows, dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        # Nothing is usual here: the background is unlike every text.
        vectors[[text in _BACKGROUND for text in texts]] = 0
        return Embeddings(vectors, space)

    def readable_scripts(self, role: Role) -> frozenset[Script]:
        del role
        return self.scripts

    async def attack_probabilities(
        self, role: Role, texts: Sequence[str], text_roles: Sequence[TextRole] = ()
    ) -> tuple[float, ...]:
        del text_roles
        self._ask(role)
        if self.guard_gate:
            await self.guard_gate.wait()
        return tuple(1.0 if self.marker and self.marker in text else self.attack for text in texts)

    async def entailments(self, premise: str, hypotheses: Sequence[str]) -> tuple[float, ...]:
        self._ask(Role.NLI)
        return tuple(self.entailment.get(hypothesis, 0.0) for hypothesis in hypotheses)

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        self._ask(Role.FUNCTION)
        return Extraction(self.calls, self.confidence)


@dataclass
class FakeEndpoints:
    """Answers every call with `body`, or fails with `error`; `by_path` has answers and errors of single paths.

    `calls`, `headers` and `sent` record the calls; `gate` delays every call.
    """

    body: bytes = b'{"temperature": 20}'
    content_type: str = "application/json"
    error: GatewayError | None = None
    by_path: dict[str, ApiAnswer | GatewayError] = field(default_factory=dict)
    calls: list[tuple[str, Mapping[str, JsonValue]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    sent: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    finished: int = 0

    async def call(
        self,
        call: EndpointCall,
        arguments: Mapping[str, JsonValue],
        messages: Sequence[Message],
        origin: Origin,
        headers: Headers = (),
    ) -> ApiAnswer:
        self.calls.append((call.path, arguments))
        self.headers.append(dict(headers))
        if self.gate:
            await self.gate.wait()
        else:
            await asyncio.sleep(0)
        self.finished += 1
        return self._answer(call.path)

    async def send(self, call: EndpointCall, body: bytes, origin: Origin, headers: Headers) -> ApiAnswer:
        self.sent.append((call.path, body, dict(headers)))
        return self._answer(call.path)

    def _answer(self, path: str) -> ApiAnswer:
        answer = self.by_path.get(path) or self.error or ApiAnswer(200, self.content_type, self.body)
        if isinstance(answer, GatewayError):
            raise answer
        return answer

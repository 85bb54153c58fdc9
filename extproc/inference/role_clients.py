"""The models of a gateway: a client for each role, with its connections and watches. Opened by gateway.py."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from extproc.conversation.messages import Message
from extproc.inference import health, model_calls
from extproc.inference.connections import ServerConnection
from extproc.inference.fallback import RoleClient
from extproc.inference.interface import Embeddings, Extraction
from extproc.shared.filter_config import Inference, JsonValue, Place, TextRole
from extproc.shared.roles import Role
from extproc.shared.scripts import Script
from extproc.shared.worker_status import WorkerStatus

# The share of the reading time that guards may plan with. The rest is for preparing texts, and for other requests.
_PLANNED_SHARE: Final = 0.8


class RoleClients:
    """Implements `Models` (interface.py), and reports the state of the models."""

    def __init__(self, roles: Mapping[Role, RoleClient], reading_ms: int = 0) -> None:
        self._roles = roles
        self._reading_s = reading_ms / 1000

    @property
    def spaces(self) -> Sequence[str]:
        client = self._roles.get(Role.EMBED)
        return [backend.place for backend in client.backends] if client else []

    async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
        place, vectors = await self._roles[Role.EMBED].call(
            lambda backend, timeout_s: model_calls.embed(backend, texts, timeout_s), spaces
        )
        return Embeddings(vectors, place)

    async def attack_probabilities(
        self, role: Role, texts: Sequence[str], text_roles: Sequence[TextRole] = ()
    ) -> tuple[float, ...]:
        _, probabilities = await self._roles[role].call(
            lambda backend, timeout_s: model_calls.attack_probabilities(backend, texts, text_roles, timeout_s)
        )
        return probabilities

    def readable_scripts(self, role: Role) -> frozenset[Script]:
        return self._roles[role].scripts

    def readable_bytes(self, role: Role) -> float | None:
        speed = self._roles[role].bytes_per_s
        return None if speed is None else speed * self._reading_s * _PLANNED_SHARE

    async def entailments(self, premise: str, hypotheses: Sequence[str]) -> tuple[float, ...]:
        _, probabilities = await self._roles[Role.NLI].call(
            lambda backend, timeout_s: model_calls.entailments(backend, premise, hypotheses, timeout_s)
        )
        return probabilities

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        _, extraction = await self._roles[Role.FUNCTION].call(
            lambda backend, timeout_s: model_calls.call_functions(backend, messages, tools, timeout_s)
        )
        return extraction

    @property
    def unavailable(self) -> Mapping[Role, str]:
        """The roles without an available backend, each with the reason."""
        failures = {role: client.failure for role, client in self._roles.items()}
        return {role: str(failure.reason) for role, failure in failures.items() if failure is not None}

    async def status(self) -> WorkerStatus:
        statuses = await asyncio.gather(*(client.status() for client in self._roles.values()))
        return WorkerStatus(roles=dict(zip(self._roles, statuses, strict=True)))


@asynccontextmanager
async def open_models(inference: Inference | None) -> AsyncIterator[RoleClients]:
    """Opens the connections and starts the watches of all models; none if the gateway calls no model.

    A watch that fails ends the block: a worker that does not know the state of its models must be replaced.
    """
    async with AsyncExitStack() as cleanup, asyncio.TaskGroup() as watches:
        connections: dict[Place, ServerConnection] = {}
        for place, server in (inference.servers if inference else {}).items():
            connections[place] = ServerConnection(place, server)
            cleanup.push_async_callback(connections[place].client.close)
        configs = inference.roles if inference else {}
        roles = {role: RoleClient(role, config, connections) for role, config in configs.items()}
        backends = [backend for client in roles.values() for backend in client.backends]
        for backend in backends:
            cleanup.push_async_callback(backend.close)
        tasks = [watches.create_task(connection.measure_round_trips()) for connection in connections.values()]
        tasks += [watches.create_task(health.watch(backend)) for backend in backends]
        yield RoleClients(roles, inference.reading_ms if inference else 0)
        for task in tasks:
            task.cancel()

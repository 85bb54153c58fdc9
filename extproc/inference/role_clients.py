"""The models of a gateway as the pipeline asks them, each at the first of its places that answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from extproc.endpoints.chat_completions import Message
from extproc.inference import health, model_calls
from extproc.inference.backends import RoleClient
from extproc.inference.connections import Link
from extproc.inference.interface import Embeddings, Extraction
from extproc.shared.filter_config import Inference, JsonValue, Place, Role
from extproc.shared.worker_status import WorkerStatus

# Of the time that reading may take: the rest is for making the text readable, and for others.
_SURE: Final = 0.8


class RoleClients:
    """`Models`, and what those who watch over a gateway are told of them."""

    def __init__(self, roles: Mapping[Role, RoleClient], reading_ms: int = 0) -> None:
        self._roles = roles
        self._reading_s = reading_ms / 1000

    @property
    def spaces(self) -> Sequence[str]:
        role = self._roles.get(Role.EMBED)
        return [at.place for at in role.placed] if role else []

    async def embed(self, texts: Sequence[str], spaces: Collection[str] | None = None) -> Embeddings:
        place, vectors = await self._roles[Role.EMBED].ask(
            lambda at, timeout_s: model_calls.embed(at, texts, timeout_s), spaces
        )
        return Embeddings(vectors, place)

    async def attack_probabilities(self, role: Role, texts: Sequence[str]) -> tuple[float, ...]:
        _, answer = await self._roles[role].ask(lambda at, timeout_s: model_calls.attacks(at, texts, timeout_s))
        return answer

    def readable_bytes(self, role: Role) -> float | None:
        speed = self._roles[role].bytes_per_s
        return None if speed is None else speed * self._reading_s * _SURE

    async def entailments(self, premise: str, hypotheses: Sequence[str]) -> tuple[float, ...]:
        _, answer = await self._roles[Role.NLI].ask(
            lambda at, timeout_s: model_calls.entailments(at, premise, hypotheses, timeout_s)
        )
        return answer

    async def call_functions(self, messages: Sequence[Message], tools: Sequence[JsonValue]) -> Extraction:
        _, answer = await self._roles[Role.FUNCTION].ask(
            lambda at, timeout_s: model_calls.functions(at, messages, tools, timeout_s)
        )
        return answer

    @property
    def faults(self) -> Mapping[Role, str]:
        """The roles that no place answers for, with the reason."""
        faults = {role: placed.fault for role, placed in self._roles.items()}
        return {role: str(fault.reason) for role, fault in faults.items() if fault is not None}

    async def status(self) -> WorkerStatus:
        statuses = await asyncio.gather(*(placed.status() for placed in self._roles.values()))
        return WorkerStatus(roles=dict(zip(self._roles, statuses, strict=True)))


@asynccontextmanager
async def open_models(inference: Inference | None) -> AsyncIterator[RoleClients]:
    """The models with their connections and the tasks that keep watch over them; none where no model is asked.

    Should a watch fail, the block does: a worker that no longer knows its models is of less use than a new one.
    """
    async with AsyncExitStack() as connections, asyncio.TaskGroup() as watches:
        links: dict[Place, Link] = {}
        for place, server in (inference.servers if inference else {}).items():
            links[place] = Link(place, server)
            connections.push_async_callback(links[place].transport.close)
        served = inference.roles if inference else {}
        roles = {role: RoleClient(role, each, links) for role, each in served.items()}
        for at in (at for role in roles.values() for at in role.placed):
            connections.push_async_callback(at.close)
        tasks = [watches.create_task(link.watch()) for link in links.values()]
        tasks += [watches.create_task(health.watch(at)) for role in roles.values() for at in role.placed]
        yield RoleClients(roles, inference.reading_ms if inference else 0)
        for task in tasks:
            task.cancel()

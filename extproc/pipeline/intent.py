"""Which prompt targets a prompt may mean: cosine similarity of embeddings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from extproc.contract import Intent, Target
from extproc.inference.roles import FloatMatrix, Models, Role, RoleUnavailable

log = logging.getLogger(__name__)

_RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Scored:
    """A target and the cosine similarity of the prompt to it, in [-1, 1]."""

    target: Target
    score: float


def description(target: Target) -> str:
    """The text that stands for a target: its name as words, then what it is for."""
    words = target.name.replace("_", " ").replace("-", " ")
    return f"{words}: {target.description}"


class TargetIndex:
    """The targets' embeddings, made once, as soon as the embedding model answers."""

    def __init__(self, models: Models, targets: Sequence[Target], intent: Intent) -> None:
        self._models = models
        self._targets = tuple(targets)
        self._intent = intent
        self._vectors: FloatMatrix | None = None

    @property
    def ready(self) -> bool:
        return self._vectors is not None

    async def build(self) -> None:
        """Returns when every target has its embedding, however long the model takes to come up."""
        told = False
        while self._vectors is None:
            try:
                texts = [description(target) for target in self._targets]
                self._vectors = await self._models.embed(texts) if texts else np.empty((0, 0), dtype=np.float32)
            except RoleUnavailable as error:
                if not told:
                    log.info("targets wait for the embedding model", extra={"fields": {"reason": error.reason}})
                told = True
                await asyncio.sleep(_RETRY_S)

    async def rank(self, text: str) -> list[Scored]:
        """Every target, best first. Raises `RoleUnavailable`."""
        if not self._targets:
            return []
        if self._vectors is None:
            raise RoleUnavailable(Role.EMBED, "unreachable", "the targets have no embeddings yet")
        (vector,) = await self._models.embed([text])
        if vector.shape != self._vectors.shape[1:]:
            raise RoleUnavailable(
                Role.EMBED, "malformed", f"dimension {vector.shape}, the targets have {self._vectors.shape[1:]}"
            )
        scores = self._vectors @ vector
        return [Scored(self._targets[index], float(scores[index])) for index in np.argsort(-scores)]

"""Which prompt targets a prompt may mean: every target with a score."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from extproc import request_stats
from extproc.inference.interface import FloatMatrix, Models, Role, RoleUnavailable
from extproc.pipeline.intent.similarity import likeness, overlap, stems, views, vocabulary
from extproc.request_stats import Stage
from extproc.shared.filter_config import Intent, Target

log = logging.getLogger(__name__)

_RETRY_S: Final = 0.5
# Texts of one call. Each has the deadline of one that somebody waits for, which all together may well be over.
_AT_ONCE: Final = 16
# How often the targets' embeddings are held against the model's: it may be another one since.
_CHECK_S: Final = 10.0
# Embeddings of one text by one model differ by less, whatever machine computed them.
_SAME: Final = 0.01


@dataclass(frozen=True, slots=True)
class Scored:
    """A target and how well the prompt fits it, in [-1, 1]."""

    target: Target
    score: float


class TargetIndex:
    """The targets' embeddings in every space: made once, as soon as its model answers, and anew when it is another one.

    `nli`: the weights of a score where the role `nli` has a model, None where it has none.
    """

    def __init__(self, models: Models, targets: Sequence[Target], nli: Intent | None = None) -> None:
        self._models = models
        self._targets = tuple(targets)
        self._vocabularies = [vocabulary(target) for target in self._targets]
        self._nli = nli
        # By space, a row for each view of a target, then for each of its examples, target after target.
        self._vectors: dict[str, FloatMatrix] = {}

    @property
    def ready(self) -> bool:
        return bool(self._vectors) or not self._targets

    async def keep(self) -> None:
        """Builds the index and keeps it true. Runs until cancelled."""
        await asyncio.gather(*(self._keep(space) for space in self._models.spaces))

    async def build(self) -> None:
        """Returns when every target has its embeddings in every space, however long the models take to come up."""
        await asyncio.gather(*(self._build(space) for space in self._models.spaces))

    async def _keep(self, space: str) -> None:
        while True:
            if not await self._is_true(space):
                await self._build(space)
            await asyncio.sleep(_CHECK_S)

    async def _build(self, space: str) -> None:
        told = False
        texts = [text for target in self._targets for text in (*views(target), *target.examples)]
        while self._targets:
            try:
                self._vectors[space] = await self._embedded(texts, space)
            except RoleUnavailable as error:
                if not told:
                    fields = {"space": space, "reason": error.reason}
                    log.info("targets wait for the embedding model", extra={"fields": fields})
                told = True
                await asyncio.sleep(_RETRY_S)
            else:
                return

    async def _embedded(self, texts: Sequence[str], space: str) -> FloatMatrix:
        """A row for each text. Raises `RoleUnavailable`."""
        parts = [
            (await self._models.embed(texts[start : start + _AT_ONCE], (space,))).vectors
            for start in range(0, len(texts), _AT_ONCE)
        ]
        if len({part.shape[1] for part in parts}) > 1:
            raise RoleUnavailable(Role.EMBED, "malformed", "it became another model meanwhile")
        return np.concatenate(parts)

    async def _is_true(self, space: str) -> bool:
        """Whether the model embeds the first text as it did; a model that does not answer has not changed."""
        if space not in self._vectors:
            return not self._targets
        try:
            (vector,) = (await self._models.embed([views(self._targets[0])[0]], (space,))).vectors
        except RoleUnavailable:
            return True
        first = self._vectors[space][0]
        same = vector.shape == first.shape and float(np.abs(vector - first).max()) < _SAME
        if not same:
            log.warning(
                "the embedding model is another one: the targets are embedded anew", extra={"fields": {"space": space}}
            )
        return same

    async def rank(self, text: str) -> list[Scored]:
        """Every target, best first. Raises `RoleUnavailable`."""
        if not self._targets:
            return []
        embedded, entailed = await asyncio.gather(self._cosines(text), self._entailments(text))
        scores = self._likenesses(text, embedded)
        if self._nli is not None and entailed is not None:
            weights = self._nli
            scores = [
                weights.nli_weight * entailment + weights.embedding_weight * score
                for entailment, score in zip(entailed, scores, strict=True)
            ]
        ranked = [Scored(target, score) for target, score in zip(self._targets, scores, strict=True)]
        return sorted(ranked, key=lambda scored: -scored.score)

    async def _cosines(self, text: str) -> FloatMatrix:
        """The cosine of `text` to every row of the index, in a space in which the targets have embeddings."""
        if not self._vectors:
            raise RoleUnavailable(Role.EMBED, "unreachable", "the targets have no embeddings yet")
        embedded = await self._models.embed([text], self._vectors)
        (vector,) = embedded.vectors
        rows = self._vectors[embedded.space]
        if vector.shape != rows.shape[1:]:
            raise RoleUnavailable(
                Role.EMBED, "malformed", f"dimension {vector.shape}, the targets have {rows.shape[1:]}"
            )
        cosines: FloatMatrix = rows @ vector
        return cosines

    async def _entailments(self, text: str) -> tuple[float, ...] | None:
        """For each target, how likely the prompt entails its description; None without a model that says so."""
        if self._nli is None:
            return None
        try:
            return await self._models.entailments(text, [target.description for target in self._targets])
        except RoleUnavailable as error:
            # The embeddings alone are a worse answer than both, and a better one than none.
            log.warning("intent without entailment", extra={"fields": {"reason": error.reason}})
            request_stats.record_degraded(Stage.NLI)
            return None

    def _likenesses(self, text: str, cosines: FloatMatrix) -> list[float]:
        words, scores, row = stems(text), [], 0
        for target, vocabulary_ in zip(self._targets, self._vocabularies, strict=True):
            examples = row + len(views(target))
            end = examples + len(target.examples)
            scores.append(likeness(cosines[row:examples], cosines[examples:end], overlap(words, vocabulary_)))
            row = end
        return scores

"""Scores every prompt target for a prompt, with the targets' embeddings. Used by resolution.py; `run` by gateway.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from extproc import request_stats
from extproc.inference.interface import FloatMatrix, Models, RoleUnavailable
from extproc.pipeline.intent import background
from extproc.pipeline.intent.similarity import similarity, stems, target_stems, target_texts, word_overlap
from extproc.request_stats import Stage
from extproc.shared.filter_config import Intent, Target
from extproc.shared.roles import Role

log = logging.getLogger(__name__)

_RETRY_S: Final = 0.5
# Texts per call. A call has the deadline of a request, and many texts at once could miss it.
_TEXTS_PER_CALL: Final = 16
# Interval of the check that the model is still the one that embedded the targets.
_CHECK_S: Final = 10.0
# On any two machines, the embeddings of one text by one model differ by less than this in every dimension.
_MAX_DIFFERENCE: Final = 0.01


@dataclass(frozen=True, slots=True)
class ScoredTarget:
    """A target with the prompt's score for it: at most about 1, and about 0 if they are unrelated."""

    target: Target
    score: float


@dataclass(frozen=True, slots=True)
class _Space:
    """The targets in one embedding space. `rows`, target after target: a row per text of the target, then a row per
    example, as embedded. `centre`: for each row the mean of its kind's background. `requests`: the mean request.

    The centred cosine of a row and a prompt is (row - centre) . (prompt - requests): their cosine, less what is usual
    for the row and less what is usual for the prompt.
    """

    rows: FloatMatrix
    centre: FloatMatrix
    requests: FloatMatrix


class TargetIndex:
    """The targets' embeddings in every embedding space. Each is made when its model first answers, and again when the
    model changes.

    `nli`: the weights of entailment and embedding if the role `nli` has a model, else None.
    """

    def __init__(self, models: Models, targets: Sequence[Target], nli: Intent | None = None) -> None:
        self._models = models
        self._targets = tuple(targets)
        self._target_stems = [target_stems(target) for target in self._targets]
        self._nli = nli
        self._spaces: dict[str, _Space] = {}

    @property
    def ready(self) -> bool:
        return bool(self._spaces) or not self._targets

    async def run(self) -> None:
        """Builds the index, and rebuilds it when a model changes. Runs until cancelled."""
        await asyncio.gather(*(self._watch(space) for space in self._models.spaces))

    async def build(self) -> None:
        """Embeds every target in every space. Waits without limit for the models."""
        await asyncio.gather(*(self._build(space) for space in self._models.spaces))

    async def _watch(self, space: str) -> None:
        while True:
            if not await self._is_current(space):
                await self._build(space)
            await asyncio.sleep(_CHECK_S)

    async def _build(self, space: str) -> None:
        is_logged = False
        texts = [text for target in self._targets for text in (*target_texts(target), *target.examples)]
        is_example = [
            kind
            for each in self._targets
            for kind in (*(False for _ in target_texts(each)), *(True for _ in each.examples))
        ]
        while self._targets:
            try:
                vectors = await self._embed([*texts, *background.DESCRIPTIONS, *background.REQUESTS], space)
            except RoleUnavailable as error:
                if not is_logged:
                    fields = {"space": space, "reason": error.reason}
                    log.info("targets wait for the embedding model", extra={"fields": fields})
                is_logged = True
                await asyncio.sleep(_RETRY_S)
            else:
                rows, others = vectors[: len(texts)], vectors[len(texts) :]
                descriptions = others[: len(background.DESCRIPTIONS)].mean(axis=0)
                requests = others[len(background.DESCRIPTIONS) :].mean(axis=0)
                centre = np.where(np.array(is_example)[:, None], requests, descriptions)
                self._spaces[space] = _Space(rows, centre, requests)
                return

    async def _embed(self, texts: Sequence[str], space: str) -> FloatMatrix:
        """Returns a row per text. Raises `RoleUnavailable`."""
        parts = [
            (await self._models.embed(texts[start : start + _TEXTS_PER_CALL], (space,))).vectors
            for start in range(0, len(texts), _TEXTS_PER_CALL)
        ]
        if len({part.shape[1] for part in parts}) > 1:
            raise RoleUnavailable(Role.EMBED, "malformed", "the model changed between two calls")
        return np.concatenate(parts)

    async def _is_current(self, space: str) -> bool:
        """Embeds the first text again and compares. A model that does not answer counts as unchanged."""
        if space not in self._spaces:
            return not self._targets
        try:
            (vector,) = (await self._models.embed([target_texts(self._targets[0])[0]], (space,))).vectors
        except RoleUnavailable:
            return True
        first = self._spaces[space].rows[0]
        same = vector.shape == first.shape and float(np.abs(vector - first).max()) < _MAX_DIFFERENCE
        if not same:
            log.warning("embedding model changed, targets are embedded again", extra={"fields": {"space": space}})
        return same

    async def rank(self, text: str) -> list[ScoredTarget]:
        """Returns every target, best first. Raises `RoleUnavailable`."""
        if not self._targets:
            return []
        cosines, entailments = await asyncio.gather(self._cosines(text), self._entailments(text))
        scores = self._similarities(text, cosines)
        if self._nli is not None and entailments is not None:
            weights = self._nli
            scores = [
                weights.nli_weight * entailment + weights.embedding_weight * score
                for entailment, score in zip(entailments, scores, strict=True)
            ]
        ranked = [ScoredTarget(target, score) for target, score in zip(self._targets, scores, strict=True)]
        return sorted(ranked, key=lambda scored: -scored.score)

    async def _cosines(self, text: str) -> FloatMatrix:
        """Returns the centred cosine of `text` to every row, in a space that has the targets' embeddings."""
        if not self._spaces:
            raise RoleUnavailable(Role.EMBED, "unreachable", "the targets have no embeddings yet")
        embedded = await self._models.embed([text], self._spaces)
        (vector,) = embedded.vectors
        known = self._spaces[embedded.space]
        if vector.shape != known.requests.shape:
            raise RoleUnavailable(
                Role.EMBED, "malformed", f"dimension {vector.shape}, the targets have {known.requests.shape}"
            )
        cosines: FloatMatrix = (known.rows - known.centre) @ (vector - known.requests)
        return cosines

    async def _entailments(self, text: str) -> tuple[float, ...] | None:
        """Returns for each target the probability that the prompt entails its description; None without a model."""
        if self._nli is None:
            return None
        try:
            return await self._models.entailments(text, [target.description for target in self._targets])
        except RoleUnavailable as error:
            # Embeddings alone rank worse than both, but better than nothing.
            log.warning("intent without entailment", extra={"fields": {"reason": error.reason}})
            request_stats.record_degraded(Stage.NLI)
            return None

    def _similarities(self, text: str, cosines: FloatMatrix) -> list[float]:
        prompt_stems, scores, row = stems(text), [], 0
        for target, known_stems in zip(self._targets, self._target_stems, strict=True):
            examples = row + len(target_texts(target))
            end = examples + len(target.examples)
            overlap = word_overlap(prompt_stems, known_stems)
            scores.append(similarity(cosines[row:examples], cosines[examples:end], overlap, len(self._targets)))
            row = end
        return scores

"""The arguments that a conversation supports: matching first, embeddings for the text that matching did not find."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from extproc import request_stats
from extproc.inference.interface import FloatMatrix, Models, RoleUnavailable
from extproc.pipeline.functions.grounding.enums import named
from extproc.pipeline.functions.grounding.names import meanings
from extproc.pipeline.functions.grounding.scoring import Said, supported
from extproc.pipeline.functions.grounding.word_forms import STOP, fold, name_words, normal, stem, words
from extproc.request_stats import Stage
from extproc.shared.filter_config import Grounding, JsonValue, Parameter, ParameterType, Target

log = logging.getLogger(__name__)

# Each costs the embedding model some milliseconds.
MAX_SPANS: Final = 32
# What a cosine is worth as a score: the pivot is 0.5. Below it, what is near in meaning is more often another thing of
# the same kind (Seattle and Portland .68, basketball and tennis .63) than the same thing in other words.
_PIVOT: Final = 0.80
_SLOPE: Final = 2.5
# A member of an enum is meant where it is nearest of all members, and by so much.
_ENUM_LEAST: Final = 0.30
_ENUM_LEAD: Final = 0.04


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A value that matching did not find and embeddings may know. `texts`: what is embedded, the value's own first."""

    name: str
    texts: tuple[str, ...]
    spans: tuple[str, ...]
    enum: bool


async def grounded(
    models: Models, grounding: Grounding, target: Target, arguments: Mapping[str, JsonValue], said: Said
) -> dict[str, JsonValue]:
    """Those of `arguments` that `said` supports. One call of the embedding model at most; where it is down, what
    matching does not find is not supported.
    """
    found = await scores(models, grounding.threshold, target.parameters, arguments, said)
    found |= {name: 0.0 for name, value in arguments.items() if _names_the_target(target, name, value)}
    return {name: value for name, value in arguments.items() if found.get(name, 1.0) >= grounding.threshold}


def _names_the_target(target: Target, name: str, value: JsonValue) -> bool:
    """ "Order a pizza" says no kind of pizza: one plain word of what the target is about is no value."""
    parameter = next((each for each in target.parameters if each.name == name), None)
    if parameter is None or parameter.enum or parameter.type is not ParameterType.STR or not isinstance(value, str):
        return False
    about = {
        stem(word.text) for word in words(f"{target.name.replace('_', ' ')} {target.description}") if word.raw.islower()
    }
    plain = len(words(value)) == 1 and value.islower() and not meanings(value)
    return plain and stem(fold(value.strip())) in about


async def scores(
    models: Models,
    threshold: float,
    parameters: Sequence[Parameter],
    arguments: Mapping[str, JsonValue],
    said: Said,
) -> dict[str, float]:
    """For each argument how well it is supported, 0 to 1."""
    known = {parameter.name: parameter for parameter in parameters if parameter.name in arguments}
    found = {name: supported(parameter, arguments[name], said) for name, parameter in known.items()}
    doubts = [
        doubt
        for name, score in found.items()
        if score < threshold
        for doubt in [_doubt(known[name], arguments[name], said)]
        if doubt is not None
    ]
    if doubts:
        for name, score in (await _near(models, doubts)).items():
            found[name] = max(found[name], score)
    return found


def _doubt(parameter: Parameter, value: JsonValue, said: Said) -> _Doubt | None:
    if parameter.type is not ParameterType.STR or not isinstance(value, str) or not said.words:
        return None
    if parameter.enum:
        # Where one member is named the others are not meant.
        if named(parameter, said.text, said.words):
            return None
        members = [value, *(str(member) for member in parameter.enum if member != value)]
        texts = tuple(_as_words(parameter, member) for member in members)
        return _Doubt(parameter.name, texts, _clauses(said), enum=True)
    if not _paraphrasable(value):
        return None
    return _Doubt(parameter.name, (value,), spans(value, said), enum=False)


def _as_words(parameter: Parameter, member: str) -> str:
    return f"{' '.join(name_words(parameter.name))}: {' '.join(name_words(member.replace('-', ' ')))}"


def _paraphrasable(value: str) -> bool:
    """A name, an id, a number or a date is said as it is; other text may be said in other words."""
    if any(each.isdigit() for each in value) or re.search(r"@|://|[/\\_=]", value):
        return False
    content = [word for word in words(value) if word.text not in STOP]
    return bool(content) and not all(word.raw[0].isupper() for word in content)


def spans(value: str, said: Said) -> tuple[str, ...]:
    """The parts of the text that are about as long as the value; of too many evenly spread ones."""
    heard, length = said.words, max(1, len(words(value)))
    found: dict[str, None] = {}
    for size in sorted({max(1, length - 1), length, length + 1}):
        for start in range(len(heard) - size + 1):
            run = heard[start : start + size]
            if run[0].text not in STOP and run[-1].text not in STOP:
                found[" ".join(word.raw for word in run)] = None
    every = -(-len(found) // MAX_SPANS) or 1
    return tuple(found)[::every]


def _clauses(said: Said) -> tuple[str, ...]:
    """The sentences of the text, and the whole of it."""
    parts = [part.strip() for part in re.split(r"[.;!?\n]", normal(said.text)) if part.strip()]
    return tuple(dict.fromkeys([normal(said.text)[-600:], *parts]))[:MAX_SPANS]


async def _near(models: Models, doubts: Sequence[_Doubt]) -> dict[str, float]:
    texts = list(dict.fromkeys(text for doubt in doubts for text in _texts(doubt)))
    try:
        matrix = (await models.embed(texts)).vectors
    except RoleUnavailable as error:
        log.warning("grounding without embeddings", extra={"fields": {"reason": error.reason}})
        request_stats.record_degraded(Stage.GROUNDING)
        return {}
    row = {text: index for index, text in enumerate(texts)}
    return {doubt.name: _score(doubt, matrix, row) for doubt in doubts if doubt.spans}


def _texts(doubt: _Doubt) -> Iterator[str]:
    yield from doubt.texts
    yield from doubt.spans


def _score(doubt: _Doubt, matrix: FloatMatrix, row: Mapping[str, int]) -> float:
    mine = matrix[[row[text] for text in doubt.texts]]
    heard = matrix[[row[span] for span in doubt.spans]]
    nearest = (mine @ heard.T).max(axis=1)
    if not doubt.enum:
        return float(np.clip(0.5 + (nearest[0] - _PIVOT) * _SLOPE, 0.0, 1.0))
    rival = float(nearest[1:].max()) if len(nearest) > 1 else 0.0
    if nearest[0] < _ENUM_LEAST or nearest[0] - rival < _ENUM_LEAD:
        return 0.0
    return float(np.clip(0.5 + (nearest[0] - rival), 0.0, 1.0))

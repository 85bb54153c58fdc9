"""Keeps the supported arguments of a call: by matching, then by embeddings for text that matching does not find.

Used by intent resolution and slot filling.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from extproc import request_stats
from extproc.inference.interface import FloatMatrix, Models, RoleUnavailable
from extproc.pipeline.functions.grounding.enums import named_members
from extproc.pipeline.functions.grounding.locale_names import entities_of
from extproc.pipeline.functions.grounding.parsed_text import ParsedText
from extproc.pipeline.functions.grounding.scoring import support_score
from extproc.pipeline.functions.grounding.word_forms import (
    STOP_WORDS,
    fold,
    identifier_words,
    normalize,
    split_words,
    stem,
)
from extproc.request_stats import Stage
from extproc.shared.filter_config import Grounding, JsonValue, Parameter, ParameterType, Target

log = logging.getLogger(__name__)

# Each span costs the embedding model some milliseconds.
MAX_SPANS: Final = 32
# The score of a cosine is 0.5 at the pivot. Below the pivot, a text near in meaning is more often another thing of the
# same kind (Seattle and Portland .68, basketball and tennis .63) than a paraphrase.
_PIVOT: Final = 0.80
_SLOPE: Final = 2.5
# A text means the nearest member of an enum, if the cosine is at least this, and ahead of all others by the lead.
_MIN_ENUM_COSINE: Final = 0.30
_MIN_ENUM_LEAD: Final = 0.04


@dataclass(frozen=True, slots=True)
class _Unmatched:
    """A value without a match, for the embedding model. `texts`: the value, then the other members of its enum.

    `spans`: the parts of the user's text to compare with.
    """

    name: str
    texts: tuple[str, ...]
    spans: tuple[str, ...]
    is_enum: bool


async def supported_arguments(
    models: Models, grounding: Grounding, target: Target, arguments: Mapping[str, JsonValue], text: ParsedText
) -> dict[str, JsonValue]:
    """Returns those of `arguments` that `text` supports. Calls the embedding model at most once.

    If that model is unavailable, a value without a match is not supported.
    """
    scores = await argument_scores(models, grounding.threshold, target.parameters, arguments, text)
    scores |= {name: 0.0 for name, value in arguments.items() if _repeats_target(target, name, value)}
    return {name: value for name, value in arguments.items() if scores.get(name, 1.0) >= grounding.threshold}


def _repeats_target(target: Target, name: str, value: JsonValue) -> bool:
    """Returns True for one plain word of the target's own description: "order a pizza" gives no kind of pizza."""
    parameter = next((each for each in target.parameters if each.name == name), None)
    if parameter is None or parameter.enum or parameter.type is not ParameterType.STR or not isinstance(value, str):
        return False
    target_stems = {
        stem(word.text)
        for word in split_words(f"{target.name.replace('_', ' ')} {target.description}")
        if word.raw.islower()
    }
    is_plain_word = len(split_words(value)) == 1 and value.islower() and not entities_of(value)
    return is_plain_word and stem(fold(value.strip())) in target_stems


async def argument_scores(
    models: Models,
    threshold: float,
    parameters: Sequence[Parameter],
    arguments: Mapping[str, JsonValue],
    text: ParsedText,
) -> dict[str, float]:
    """Returns the support of each declared argument, 0 to 1. Embeddings are used only below `threshold`."""
    declared = {parameter.name: parameter for parameter in parameters if parameter.name in arguments}
    scores = {name: support_score(parameter, arguments[name], text) for name, parameter in declared.items()}
    unmatched = [
        each
        for name, score in scores.items()
        if score < threshold
        for each in [_unmatched(declared[name], arguments[name], text)]
        if each is not None
    ]
    if unmatched:
        for name, score in (await _embedding_scores(models, unmatched)).items():
            scores[name] = max(scores[name], score)
    return scores


def _unmatched(parameter: Parameter, value: JsonValue, text: ParsedText) -> _Unmatched | None:
    """Prepares a value for the embedding model; None if only matching can support it."""
    if parameter.type is not ParameterType.STR or not isinstance(value, str) or not text.words:
        return None
    if parameter.enum:
        # The text names one member, so it does not mean the others.
        if named_members(parameter, text.text, text.words):
            return None
        members = [value, *(str(member) for member in parameter.enum if member != value)]
        texts = tuple(_in_words(parameter, member) for member in members)
        return _Unmatched(parameter.name, texts, _clauses(text), is_enum=True)
    if not _can_be_paraphrased(value):
        return None
    return _Unmatched(parameter.name, (value,), spans(value, text), is_enum=False)


def _in_words(parameter: Parameter, member: str) -> str:
    return f"{' '.join(identifier_words(parameter.name))}: {' '.join(identifier_words(member.replace('-', ' ')))}"


def _can_be_paraphrased(value: str) -> bool:
    """Returns False for names, ids, numbers and dates: users write them as they are."""
    if any(each.isdigit() for each in value) or re.search(r"@|://|[/\\_=]", value):
        return False
    content = [word for word in split_words(value) if word.text not in STOP_WORDS]
    return bool(content) and not all(word.raw[0].isupper() for word in content)


def spans(value: str, text: ParsedText) -> tuple[str, ...]:
    """Returns the parts of the text about as long as the value. Of too many, an evenly spaced selection."""
    words, length = text.words, max(1, len(split_words(value)))
    unique: dict[str, None] = {}
    for size in sorted({max(1, length - 1), length, length + 1}):
        for start in range(len(words) - size + 1):
            run = words[start : start + size]
            if run[0].text not in STOP_WORDS and run[-1].text not in STOP_WORDS:
                unique[" ".join(word.raw for word in run)] = None
    step = -(-len(unique) // MAX_SPANS) or 1
    return tuple(unique)[::step]


def _clauses(text: ParsedText) -> tuple[str, ...]:
    """Returns the end of the text, then its sentences."""
    plain = normalize(text.text)
    sentences = [part.strip() for part in re.split(r"[.;!?\n]", plain) if part.strip()]
    return tuple(dict.fromkeys([plain[-600:], *sentences]))[:MAX_SPANS]


async def _embedding_scores(models: Models, unmatched: Sequence[_Unmatched]) -> dict[str, float]:
    texts = list(dict.fromkeys(text for each in unmatched for text in (*each.texts, *each.spans)))
    try:
        matrix = (await models.embed(texts)).vectors
    except RoleUnavailable as error:
        log.warning("grounding without embeddings", extra={"fields": {"reason": error.reason}})
        request_stats.record_degraded(Stage.GROUNDING)
        return {}
    row = {text: index for index, text in enumerate(texts)}
    return {each.name: _embedding_score(each, matrix, row) for each in unmatched if each.spans}


def _embedding_score(unmatched: _Unmatched, matrix: FloatMatrix, row: Mapping[str, int]) -> float:
    value_vectors = matrix[[row[text] for text in unmatched.texts]]
    span_vectors = matrix[[row[span] for span in unmatched.spans]]
    nearest = (value_vectors @ span_vectors.T).max(axis=1)
    if not unmatched.is_enum:
        return float(np.clip(0.5 + (nearest[0] - _PIVOT) * _SLOPE, 0.0, 1.0))
    rival = float(nearest[1:].max()) if len(nearest) > 1 else 0.0
    if nearest[0] < _MIN_ENUM_COSINE or nearest[0] - rival < _MIN_ENUM_LEAD:
        return 0.0
    return float(np.clip(0.5 + (nearest[0] - rival), 0.0, 1.0))

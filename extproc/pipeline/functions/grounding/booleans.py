"""Reads the value of a boolean parameter from a text: "without breakfast" is False. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from extproc.pipeline.functions.grounding.word_forms import (
    STOP_WORDS,
    Word,
    identifier_words,
    normalize,
    same_word,
    split_words,
    word_set,
)
from extproc.shared.filter_config import Parameter

_NEGATORS: Final = word_set(
    """
    no not non without never skip exclude excluding except off disable disabled disables none nor neither cannot
    cant dont hold omit minus less avoid leave deactivate stop decline refuse forget drop remove unnecessary
    needless un ex
    """
)
_YES: Final = word_set("yes yeah yep yup sure true ok okay absolutely definitely certainly correct affirmative on y")
_NO: Final = word_set("no nope nah false negative off n never")
# Words of a parameter's name or description that do not name its subject.
_FILLERS: Final = word_set(
    """
    is are has have should include included includes including with enable enabled enables use allow allowed
    allows want wants wanted need needs needed require required requires flag whether if true false send show
    get set add make option optional boolean bool value return returns default only the be do does indicates
    indicate specify specifies when for of to a an in or and not no want mode result results output
    """
)
_CLAUSE: Final = re.compile(r"[.;!?\n]|,|\bbut\b|\bhowever\b|\bthough\b")
_NEGATION_WINDOW: Final = 5


def spoken_boolean(parameter: Parameter, text: str) -> bool | None:
    """Returns the last yes or no that the text says about the parameter; None if it says nothing."""
    result: bool | None = None
    concept = [word for word in identifier_words(parameter.name) if word not in _FILLERS]
    description_words = [word.text for word in split_words(parameter.description)]
    description_only = [word for word in description_words if word not in _FILLERS | STOP_WORDS and word not in concept]
    # If the description repeats the name ("a replacement card"), its other words alone ("card") are no mention.
    is_named_in_description = any(same_word(word, each) for word in description_words for each in concept)
    for clause in _CLAUSE.split(normalize(text)):
        clause_words = split_words(clause)
        if not clause_words:
            continue
        answer = _direct_answer(clause_words, concept)
        if answer is not None:
            result = answer
            continue
        mention = _mention(clause_words, concept, description_only, is_named_in_description=is_named_in_description)
        if mention is not None:
            result = not _negated(clause_words, *mention, clause)
    return result


def _direct_answer(clause_words: Sequence[Word], concept: Sequence[str]) -> bool | None:
    """Reads a clause that is only a yes or no, with or without the parameter's name: "smoking: no"."""
    words = [word.text for word in clause_words if not any(same_word(word.text, each) for each in concept)]
    if words and len(words) <= 2 and all(word in _YES | {"please"} for word in words) and words != ["please"]:
        return True
    if words and len(words) <= 2 and all(word in _NO | {"thanks", "please"} for word in words) and words[0] in _NO:
        return False
    return None


def _mention(
    clause_words: Sequence[Word],
    concept: Sequence[str],
    description_only: Sequence[str],
    *,
    is_named_in_description: bool,
) -> tuple[int, int] | None:
    """Returns the first and last word of a mention: by words of the name, or of the name and the description."""
    named_at = [
        index for index, word in enumerate(clause_words) if any(_is_form_of(word.text, each) for each in concept)
    ]
    covered_words = {each for each in concept for word in clause_words if _is_form_of(word.text, each)}
    if named_at and (len(covered_words) == len(concept) or len(covered_words) * 2 > len(concept)):
        return named_at[0], named_at[-1]
    described_at = [
        index for index, word in enumerate(clause_words) if any(same_word(word.text, each) for each in description_only)
    ]
    if named_at and described_at:
        return min(named_at + described_at), max(named_at + described_at)
    described_words = {each for each in description_only for word in clause_words if same_word(word.text, each)}
    if not is_named_in_description and (
        len(described_words) >= 2 or (len(described_words) == 1 and len(description_only) <= 2)
    ):
        return described_at[0], described_at[-1]
    return None


def _is_form_of(word: str, concept: str) -> bool:
    """Also accepts "insure" for "insured", "recurring" for "recurrence": long words with the same beginning."""
    if same_word(word, concept):
        return True
    least = min(len(word), len(concept))
    return least >= 5 and word[: least - 1] == concept[: least - 1]


def _negated(clause_words: Sequence[Word], first: int, last: int, clause: str) -> bool:
    before = [word.text for word in clause_words[max(0, first - _NEGATION_WINDOW) : first]]
    inside = [word.text for word in clause_words[first:last]]
    after = [word.text for word in clause_words[last + 1 : last + 1 + _NEGATION_WINDOW]]
    count = sum(map(_negates, before)) + sum(map(_negates, inside))
    if not count:
        count = sum(map(_negates, after[:4])) if not any(word in {"if", "when"} for word in after[:2]) else 0
    if re.search(rf"{re.escape(clause_words[last].raw)}-free", clause):
        count += 1
    # "not without": two negations cancel out.
    return count % 2 == 1


def _negates(word: str) -> bool:
    return word in _NEGATORS or word.endswith("n't")

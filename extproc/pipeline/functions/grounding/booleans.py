"""Whether a text says yes or no to what a boolean parameter is about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from extproc.pipeline.functions.grounding.word_forms import STOP, Word, alike, listed, name_words, normal, words
from extproc.shared.filter_config import Parameter

_NEGATORS: Final = listed(
    """
    no not non without never skip exclude excluding except off disable disabled disables none nor neither cannot
    cant dont hold omit minus less avoid leave deactivate stop decline refuse forget drop remove unnecessary
    needless un ex
    """
)
_YES: Final = listed("yes yeah yep yup sure true ok okay absolutely definitely certainly correct affirmative on y")
_NO: Final = listed("no nope nah false negative off n never")
# What the name of a switch says beside the thing that it switches.
_FRAME: Final = listed(
    """
    is are has have should include included includes including with enable enabled enables use allow allowed
    allows want wants wanted need needs needed require required requires flag whether if true false send show
    get set add make option optional boolean bool value return returns default only the be do does indicates
    indicate specify specifies when for of to a an in or and not no want mode result results output
    """
)
_CLAUSE: Final = re.compile(r"[.;!?\n]|,|\bbut\b|\bhowever\b|\bthough\b")
_REACH: Final = 5


def truth(parameter: Parameter, said: str) -> bool | None:
    """True or False where the text says so, the last time counts; None where it says nothing of it."""
    verdict: bool | None = None
    concept = [word for word in name_words(parameter.name) if word not in _FRAME]
    spoken_of = [word.text for word in words(parameter.description)]
    described = [word for word in spoken_of if word not in _FRAME | STOP and word not in concept]
    # Where the description is about the name ("a replacement card"), its other words alone ("card") are not.
    by_name = any(alike(word, each) for word in spoken_of for each in concept)
    for clause in _CLAUSE.split(normal(said)):
        spoken = words(clause)
        if not spoken:
            continue
        answered = _answered(spoken, concept)
        if answered is not None:
            verdict = answered
            continue
        place = _place(spoken, concept, described, by_name=by_name)
        if place is not None:
            verdict = not _negated(spoken, *place, clause)
    return verdict


def _answered(spoken: Sequence[Word], concept: Sequence[str]) -> bool | None:
    """Yes or no alone, perhaps after the parameter's own name: "smoking: no"."""
    rest = [word.text for word in spoken if not any(alike(word.text, each) for each in concept)]
    if rest and len(rest) <= 2 and all(word in _YES | {"please"} for word in rest) and rest != ["please"]:
        return True
    if rest and len(rest) <= 2 and all(word in _NO | {"thanks", "please"} for word in rest) and rest[0] in _NO:
        return False
    return None


def _place(
    spoken: Sequence[Word], concept: Sequence[str], described: Sequence[str], *, by_name: bool
) -> tuple[int, int] | None:
    """Where the clause speaks of the parameter: by the words of its name, or by one and one of its description."""
    named = [index for index, word in enumerate(spoken) if any(_near(word.text, each) for each in concept)]
    covered = {each for each in concept for word in spoken if _near(word.text, each)}
    if named and (len(covered) == len(concept) or len(covered) * 2 > len(concept)):
        return named[0], named[-1]
    told = [index for index, word in enumerate(spoken) if any(alike(word.text, each) for each in described)]
    if named and told:
        return min(named + told), max(named + told)
    strong = {each for each in described for word in spoken if alike(word.text, each)}
    if not by_name and (len(strong) >= 2 or (len(strong) == 1 and len(described) <= 2)):
        return told[0], told[-1]
    return None


def _near(word: str, concept: str) -> bool:
    """Also "insure" for "insured", "recurring" for "recurrence": long words that begin alike."""
    if alike(word, concept):
        return True
    least = min(len(word), len(concept))
    return least >= 5 and word[: least - 1] == concept[: least - 1]


def _negated(spoken: Sequence[Word], first: int, last: int, clause: str) -> bool:
    before = [word.text for word in spoken[max(0, first - _REACH) : first]]
    inside = [word.text for word in spoken[first:last]]
    after = [word.text for word in spoken[last + 1 : last + 1 + _REACH]]
    count = sum(map(_negates, before)) + sum(map(_negates, inside))
    if not count:
        count = sum(map(_negates, after[:4])) if not any(word in {"if", "when"} for word in after[:2]) else 0
    if re.search(rf"{re.escape(spoken[last].raw)}-free", clause):
        count += 1
    # "not without": twice is not at all.
    return count % 2 == 1


def _negates(word: str) -> bool:
    return word in _NEGATORS or word.endswith("n't")

"""The input guard against jailbreaks: may this prompt go on?"""

from __future__ import annotations

import logging
from dataclasses import dataclass

from extproc.contract import FailMode, Jailbreak
from extproc.errors import GuardUnavailable
from extproc.inference.roles import Models, RoleUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Allowed:
    """`probability` None: the model gave none, and the guard is configured to let prompts pass then."""

    probability: float | None


@dataclass(frozen=True, slots=True)
class Blocked:
    probability: float


Verdict = Allowed | Blocked


async def judge(models: Models, guard: Jailbreak, said: str) -> Verdict:
    """The verdict on every text of the user's turn. Raises `GuardUnavailable` where none means block."""
    if not said:
        return Allowed(0.0)
    try:
        probability = await models.attack_probability(said)
    except RoleUnavailable as error:
        log.warning("guard gave no verdict", extra={"fields": {"reason": error.reason, "on_error": guard.on_error}})
        if guard.on_error is FailMode.ALLOW:
            return Allowed(None)
        if error.reason == "timeout":
            raise GuardUnavailable(
                "The prompt could not be checked in time: shorten it, or try again later."
            ) from error
        raise GuardUnavailable("The guard model does not answer: try again later.") from error
    return Blocked(probability) if probability >= guard.threshold else Allowed(probability)

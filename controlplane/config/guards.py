"""`prompt_guards`: what is refused before anything else reads a prompt."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from controlplane.config.section import Section


class OnError(StrEnum):
    BLOCK = "block"
    ALLOW = "allow"


class OnException(Section):
    """What a client gets for a blocked prompt."""

    message: str = Field(
        default="This request was blocked: it reads like an attempt to override the assistant's instructions.",
        min_length=1,
        max_length=4096,
    )
    """The text of the answer."""
    status: int | None = Field(default=None, ge=400, le=499)
    """An HTTP status, 400 to 499, with an error body. Without it: 200, and a completion that says `message`."""


class Jailbreak(Section):
    """The guard against jailbreaks and prompt injection."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability of attack over which a prompt is blocked."""
    on_error: OnError = OnError.BLOCK
    """What happens to a prompt when the guard model gives no verdict: `block` (503) or `allow`. Both are counted."""
    on_exception: OnException = OnException()
    """What a client gets for a blocked prompt."""


class InputGuards(Section):
    """Guards over what users send."""

    jailbreak: Jailbreak | None = None
    """The guard against jailbreaks. `{}` switches it on with its defaults."""


class PromptGuards(Section):
    """What is refused before anything else reads a prompt."""

    input_guards: InputGuards = InputGuards()
    """Guards over what users send."""

"""`prompt_guards`: guards that read each prompt first and may block it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from controlplane.config.base_model import Section
from extproc.shared.filter_config import FailMode, GuardMode, Listener, TextRole
from extproc.shared.roles import GUARD_ROLES


class OnException(Section):
    """The response to a blocked prompt."""

    message: str | None = Field(default=None, min_length=1, max_length=4096)
    """The response's text. By default a sentence that names the guard's reason."""
    status: int | None = Field(default=None, ge=400, le=499)
    """An HTTP status, 400 to 499, with an error body. Without it: 200 and a completion with `message`."""
    forward_to_error_target: bool = False
    """Sends the request to `error_target`. The client gets that API's response."""


class Guard(Section):
    """One guard over user messages."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability at or above which a prompt is blocked."""
    on_error: FailMode = FailMode.BLOCK
    """Decision when the guard model gives no verdict: `block` (503) or `allow`. Both are counted."""
    mode: GuardMode = GuardMode.ENFORCE
    """`shadow`: verdicts are logged and counted, but nothing is blocked."""
    # `pipeline_checks` requires at least one.
    scope: tuple[TextRole, ...] | None = Field(
        default=None, max_length=len(TextRole), json_schema_extra={"minItems": 1, "uniqueItems": True}
    )
    """Texts that are judged, by their roles: `user`, `tool`, `document`, `system`, `tools`. By default all on ingress,
    and `user`, `tool`, `document` on egress, where system messages and tools are the application's own."""
    on_unreadable: FailMode = FailMode.ALLOW
    """Decision on a text in scripts that the guard's model cannot read: `block`, or `allow` if the model allows it."""
    on_exception: OnException = OnException()
    """The response to a blocked prompt."""


class InputGuards(Section):
    """Guards over user messages."""

    jailbreak: Guard | None = None
    """The guard against jailbreaks and prompt injection. `{}` enables it with its defaults."""
    toxicity: Guard | None = None
    """The guard against abuse. It needs a model of your own: `model_serving.roles.toxicity`."""

    @property
    def on(self) -> Mapping[str, Guard]:
        """The configured guards, by name."""
        named: dict[str, Guard | None] = {name: getattr(self, name) for name in GUARD_ROLES}
        return {name: guard for name, guard in named.items() if guard is not None}


class PromptGuards(Section):
    """Guards that read each prompt first and may block it."""

    # `pipeline_checks` requires at least one, and pydantic does not: a list with one misspelt item is not empty.
    apply_to: tuple[Listener, ...] = Field(
        default=(Listener.INGRESS,), max_length=2, json_schema_extra={"default": ["ingress"], "minItems": 1}
    )
    """Listeners whose requests the guards read: `ingress`, `egress` or both."""
    input_guards: InputGuards = InputGuards()
    """Guards over user messages."""

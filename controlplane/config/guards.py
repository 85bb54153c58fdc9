"""`prompt_guards`: what is refused before anything else reads a prompt."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from controlplane.config.section import Section
from extproc.shared.filter_config import FailMode, GuardMode, Listener
from extproc.shared.roles import GUARD_ROLES


class OnException(Section):
    """What a client gets for a blocked prompt."""

    message: str | None = Field(default=None, min_length=1, max_length=4096)
    """The text of the answer. By default a sentence that names the guard's reason."""
    status: int | None = Field(default=None, ge=400, le=499)
    """An HTTP status, 400 to 499, with an error body. Without it: 200, and a completion that says `message`."""
    forward_to_error_target: bool = False
    """Sends the request on to `error_target`, whose answer the client gets."""


class Guard(Section):
    """One guard over what users send."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability from which a prompt is blocked."""
    on_error: FailMode = FailMode.BLOCK
    """What happens to a prompt when the guard model gives no verdict: `block` (503) or `allow`. Both are counted."""
    mode: GuardMode = GuardMode.ENFORCE
    """`shadow`: the verdict is logged and counted, and changes nothing."""
    on_exception: OnException = OnException()
    """What a client gets for a blocked prompt."""


class InputGuards(Section):
    """Guards over what users send."""

    jailbreak: Guard | None = None
    """The guard against jailbreaks and prompt injection. `{}` switches it on with its defaults."""
    toxicity: Guard | None = None
    """The guard against abuse, by a model of your own: `model_serving.roles.toxicity`."""

    @property
    def on(self) -> Mapping[str, Guard]:
        """The guards that the file names."""
        named: dict[str, Guard | None] = {name: getattr(self, name) for name in GUARD_ROLES}
        return {name: guard for name, guard in named.items() if guard is not None}


class PromptGuards(Section):
    """What is refused before anything else reads a prompt."""

    # At least one: `pipeline_checks` says so, since a list whose only item is misspelt must not be called empty.
    apply_to: tuple[Listener, ...] = Field(
        default=(Listener.INGRESS,), max_length=2, json_schema_extra={"default": ["ingress"], "minItems": 1}
    )
    """The listeners whose requests the guards read: `ingress`, `egress` or both."""
    input_guards: InputGuards = InputGuards()
    """Guards over what users send."""

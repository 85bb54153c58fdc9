"""Base model of the sections of `arch_config.yaml`: no unknown keys, frozen, strict types."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A mapping of the file. Unknown keys are errors, and values are not converted between types."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        # Errors would show the input, which may be a provider's key.
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


def refusal(message: str, hint: str | None = None) -> PydanticCustomError:
    """Returns a validation error whose message is shown unchanged. Never put a secret into it."""
    return PydanticCustomError("archgw", "{message}", {"message": message, "hint": hint or ""})

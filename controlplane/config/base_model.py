"""What every section of `arch_config.yaml` has in common: closed, frozen, strict."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic_core import PydanticCustomError


class Section(BaseModel):
    """A mapping of the file. An unknown key is an error, and no value is converted behind the reader's back."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        # A validation error would otherwise quote its input, which may be a key.
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


def refusal(message: str, hint: str | None = None) -> PydanticCustomError:
    """An error that already reads as it is to be shown; never put a secret into it."""
    return PydanticCustomError("archgw", "{message}", {"message": message, "hint": hint or ""})

"""Converts the names of an API into sentences and into valid names of the configuration."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

_MAX_NAME_LENGTH: Final = 64
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def sentence(name: str) -> str:
    """Returns a name as a sentence: `getUserById`, `get_user_by_id` -> `Get user by id`."""
    words = " ".join(_CAMEL.sub(" ", re.sub(r"[\W_]+", " ", name)).split())
    words = " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words.split())
    return words[:1].upper() + words[1:] or "Unnamed"


def config_name(text: str) -> str:
    """Returns `text` with other characters than those of a name replaced, cut to 64 characters."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:_MAX_NAME_LENGTH].strip("_") or "unnamed"


def unique(name: str, taken: Container[str]) -> str:
    """Returns the first of `name`, `name_2`, `name_3` ... that is not taken."""
    number = 2
    candidate = name
    while candidate in taken:
        ending = f"_{number}"
        candidate = name[: _MAX_NAME_LENGTH - len(ending)] + ending
        number += 1
    return candidate

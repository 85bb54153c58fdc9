"""Names into words and into names that a configuration may hold."""

from __future__ import annotations

import re
from collections.abc import Container
from typing import Final

_LONGEST_NAME: Final = 64
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def sentence(name: str) -> str:
    """`getUserById`, `get_user_by_id` -> `Get user by id`."""
    words = " ".join(_CAMEL.sub(" ", re.sub(r"[\W_]+", " ", name)).split())
    words = " ".join(word if word.isupper() and len(word) > 1 else word.lower() for word in words.split())
    return words[:1].upper() + words[1:] or "Unnamed"


def config_name(text: str) -> str:
    """`text` with the letters that a name may have, at most 64 of them."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")[:_LONGEST_NAME].strip("_") or "unnamed"


def unique(name: str, taken: Container[str]) -> str:
    """`name`, else `name_2`, `name_3` ..., the first one that is free."""
    number = 2
    candidate = name
    while candidate in taken:
        ending = f"_{number}"
        candidate = name[: _LONGEST_NAME - len(ending)] + ending
        number += 1
    return candidate

"""A whole answer of an LLM, of the gateway or of a prompt target, in the canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from extproc.shared.filter_config import JsonValue


@dataclass(frozen=True, slots=True)
class Completion:
    """`usage` None: nobody has counted the tokens.

    `is_refusal`: the text stands in `refusal` and there is no content, so that a client that wants an object sees that
    this is none.
    """

    model: str
    content: str
    finish_reason: str = "stop"
    metadata: Mapping[str, JsonValue] | None = None
    usage: Mapping[str, JsonValue] | None = None
    is_refusal: bool = False

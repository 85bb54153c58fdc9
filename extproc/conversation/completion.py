"""A whole answer of an LLM, of the gateway or of a prompt target, in the canonical form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from extproc.shared.filter_config import JsonValue


@dataclass(frozen=True, slots=True)
class Completion:
    """`usage` None: the tokens are not counted.

    `is_refusal`: the response has the text in `refusal` and no `content`, so that a client that expects an object does
    not try to parse the text.
    """

    model: str
    content: str
    finish_reason: str = "stop"
    metadata: Mapping[str, JsonValue] | None = None
    usage: Mapping[str, JsonValue] | None = None
    is_refusal: bool = False

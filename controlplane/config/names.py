"""Names that users give to providers, endpoints, targets and parameters."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from controlplane.config.base_model import refusal
from controlplane.quoting import quoted

PATTERN: Final = "^[A-Za-z0-9_.-]{1,64}$"
_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None


def parse_name(value: object) -> str:
    """Parses a name. Names become Envoy cluster names, file names and header values: hence the narrow alphabet."""
    if not isinstance(value, str):
        raise refusal(f"expected a name, got {quoted(value)}", "put it in quotes if it is meant as text")
    if not is_name(value):
        raise refusal(
            f"{quoted(value)} is not a usable name",
            "use 1 to 64 letters, digits, '_', '.' or '-'",
        )
    return value


Name = Annotated[str, PlainValidator(parse_name), WithJsonSchema({"type": "string", "pattern": PATTERN})]

"""URL paths of API calls, with placeholders for parameters."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import PlainValidator, WithJsonSchema

from controlplane.config.base_model import refusal
from controlplane.quoting import quoted

_PATH: Final = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?{}-]*")
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z0-9_.-]{1,64})\}")
_LONGEST: Final = 2048


def parse_path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise refusal(f"expected a path that starts with /, got {quoted(value)}")
    if len(value) > _LONGEST or not _PATH.fullmatch(value):
        raise refusal("the path is too long or holds characters that a path may not hold", "percent-encode them")
    if re.search(r"[{}]", _PLACEHOLDER.sub("", value)):
        raise refusal(
            "the path has a brace without its partner, or an odd name in braces", "write a placeholder as {name}"
        )
    return value


def placeholders(path: str) -> tuple[str, ...]:
    """Returns the parameter names in a path's placeholders, in order, without repetitions."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(path)))


Path = Annotated[str, PlainValidator(parse_path), WithJsonSchema({"type": "string", "pattern": "^/"})]

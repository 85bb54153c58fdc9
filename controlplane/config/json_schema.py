"""The JSON Schema of `arch_config.yaml`, for editors: completion, descriptions, errors as one types."""

from __future__ import annotations

from typing import Final

from pydantic import JsonValue

from controlplane.config.arch_config import ArchConfig

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def json_schema() -> dict[str, JsonValue]:
    """The schema of today's form, draft 2020-12. The 0.1 dialect is accepted too, but nobody should write it anew."""
    return {"$schema": _DIALECT, "title": "arch_config.yaml", **_tidy(ArchConfig.model_json_schema())}


def _tidy(schema: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """One schema as an editor should show it.

    Optional keys may be left out, but not be null: `key:` with nothing behind it is refused. Defaults of whole sections
    are said by the keys in them, and titles only repeat the keys.
    """
    tidy = {key: _tidy_keyword(key, value) for key, value in schema.items() if key != "title"}
    options = tidy.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options:
        rest = [option for option in options if option != {"type": "null"}]
        tidy.pop("default", None)
        del tidy["anyOf"]
        tidy = {**rest[0], **tidy} if len(rest) == 1 and isinstance(rest[0], dict) else {"anyOf": rest, **tidy}
    if isinstance(tidy.get("default", {}), dict | None):
        tidy.pop("default", None)
    return tidy


def _tidy_keyword(key: str, value: JsonValue) -> JsonValue:
    if key in {"properties", "$defs"} and isinstance(value, dict):
        # Here names are the file's keys, not keywords of JSON Schema.
        return {name: _tidy(schema) if isinstance(schema, dict) else schema for name, schema in value.items()}
    if isinstance(value, list):
        return [_tidy(item) if isinstance(item, dict) else item for item in value]
    return _tidy(value) if isinstance(value, dict) and key not in {"default", "examples"} else value
